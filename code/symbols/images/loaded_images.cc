// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/loaded_images.h"

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/fork_mutex.h"
#include "base/linux/loaded_objects.h"
#include "base/linux/maps.h"
#include "base/linux/translator.h"
#include "code/symbols/images/debug_file.h"
#include "code/symbols/images/elf_notes.h"
#include "code/symbols/images/image_copy.h"

namespace instar {
namespace code_internal {
namespace {

// What is noted of an image while the dynamic linker holds its list.
struct Sighting {
  std::string name;
  uintptr_t load_base;
  uintptr_t mapped_from;  // where its first segment lies
  size_t mapped_size;
  CodeRange code;
  size_t fingerprint;
  std::string build_id;
  size_t thread_local_module;
};

struct Counters {
  uint64_t loads = 0;
  uint64_t unloads = 0;
};

Counters ReadCounters() {
  Counters counters;
  ForEachLoadedObject(
      [](dl_phdr_info* info, size_t, void* result) {
        static_cast<Counters*>(result)->loads = info->dlpi_adds;
        static_cast<Counters*>(result)->unloads = info->dlpi_subs;
        return 1;
      },
      &counters);
  return counters;
}

Sighting See(const dl_phdr_info& info) {
  Sighting image{};
  image.name = info.dlpi_name;
  image.load_base = info.dlpi_addr;
  image.thread_local_module = info.dlpi_tls_modid;
  image.code = {~uintptr_t{0}, 0};
  uintptr_t first = ~uintptr_t{0};
  uintptr_t last = 0;
  absl::string_view eh_frame_hdr;
  absl::string_view build_id;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    const uintptr_t begin = info.dlpi_addr + segment.p_vaddr;
    const uintptr_t end = begin + segment.p_memsz;
    if (segment.p_type == PT_GNU_EH_FRAME) {
      eh_frame_hdr = {reinterpret_cast<const char*>(begin), segment.p_memsz};
    }
    if (segment.p_type == PT_NOTE && build_id.empty()) {
      build_id =
          BuildIdIn({reinterpret_cast<const char*>(begin), segment.p_filesz});
    }
    if (segment.p_type != PT_LOAD) continue;
    first = std::min(first, begin);
    last = std::max(last, end);
    if ((segment.p_flags & PF_X) == 0) continue;
    image.code.begin = std::min(image.code.begin, begin);
    image.code.end = std::max(image.code.end, end);
  }
  image.mapped_from = first;
  image.mapped_size = last > first ? last - first : 0;
  if (image.code.end == 0) image.code = {};
  image.fingerprint = SymbolTable::Fingerprint(
      {info.dlpi_phdr, info.dlpi_phnum}, eh_frame_hdr, build_id);
  image.build_id = std::string(build_id);
  return image;
}

// The file of which a part lies in memory. The kernel keeps it for as long as
// it is mapped, also when another one gets its name.
struct MappedPart {
  std::string path;  // without " (deleted)"; empty if there is none
  dev_t device = 0;
  ino_t inode = 0;
  uintptr_t low = 0;
  uintptr_t high = 0;
};

MappedPart FindMapped(uintptr_t address) {
  MappedPart part;
  VisitMappings([&](const Mapping& mapping) {
    if (!mapping.Contains(address)) return mapping.low <= address;
    absl::string_view path = mapping.path;
    absl::ConsumeSuffix(&path, " (deleted)");
    part = {std::string(path),
            makedev(mapping.device_major, mapping.device_minor),
            static_cast<ino_t>(mapping.inode), mapping.low, mapping.high};
    return false;
  });
  return part;
}

// The link leads to the file even when another one has its name.
std::string ProgramPath() {
  char path[PATH_MAX];
  const ssize_t length = readlink(OwnProgramLink(), path, sizeof(path));
  if (length <= 0) return OwnProgramLink();
  return std::string(path, length);
}

// Reads what lies in memory of an image, as long as it cannot be unloaded.
absl::StatusOr<std::unique_ptr<SymbolTable>> ReadMemory(
    const Sighting& image, const std::string& name, const std::string& why) {
  struct Reading {
    const Sighting& image;
    const std::string& name;
    const std::string& why;
    const std::string debug_path;
    absl::StatusOr<std::unique_ptr<SymbolTable>> table;
  };
  Reading reading{image, name, why, FindDebugFileOf(image.build_id),
                  absl::NotFoundError("it was unloaded")};
  ForEachLoadedObject(
      [](dl_phdr_info* info, size_t, void* argument) {
        auto& wanted = *static_cast<Reading*>(argument);
        if (info->dlpi_addr != wanted.image.load_base) return 0;
        if (See(*info).fingerprint != wanted.image.fingerprint) return 0;
        wanted.table = SymbolTable::OfLoaded(
            wanted.name, {{info->dlpi_phdr, info->dlpi_phnum}, info->dlpi_addr},
            wanted.debug_path, wanted.why);
        return 1;
      },
      &reading);
  return std::move(reading.table);
}

// Tables that have been read, by the identity of their file. Used under the
// lock of LoadedImages::Current() only; never shrinks.
class SymbolTables {
 public:
  // Those of images whose files may be closed.
  void Add(const LoadedImages& known) {
    for (const LoadedImage& image : known.images()) {
      if (FindImageOriginal(image.name).has_value()) {
        of_copies_[image.name] = image.symbols;
      }
    }
  }

  const SymbolTable* Get(const Sighting& image, bool is_program) {
    if (image.mapped_from == getauxval(AT_SYSINFO_EHDR)) return Vdso(image);
    const std::optional<ImageOriginal> original = FindImageOriginal(image.name);
    if (!original.has_value()) return Read(image, is_program, original);
    // Of a copy the name is its own for ever, and the file may be closed.
    const auto known = of_copies_.find(image.name);
    if (known != of_copies_.end()) return known->second;
    const SymbolTable* const table = Read(image, is_program, original);
    if (original->file >= 0) of_copies_[image.name] = table;
    return table;
  }

 private:
  // device, inode, size, time of change in ns, fingerprint
  using Key = std::tuple<dev_t, ino_t, off_t, int64_t, size_t>;
  // device, inode and fingerprint of what is mapped
  using Part = std::tuple<dev_t, ino_t, size_t>;

  const SymbolTable* Read(const Sighting& image, bool is_program,
                          const std::optional<ImageOriginal>& original) {
    const MappedPart mapped = FindMapped(image.mapped_from);
    const std::string name = is_program             ? ProgramPath()
                             : original.has_value() ? original->path
                             : image.name[0] == '/' ? image.name
                                                    : mapped.path;
    const std::string path = is_program             ? OwnProgramLink()
                             : original.has_value() ? PathToOriginal(image.name)
                                                    : name;
    const Part part(mapped.device, mapped.inode, image.fingerprint);
    struct stat file;
    if (stat(path.c_str(), &file) != 0) {
      return Replaced(image, mapped, name, "its file is gone");
    }
    const Key key(file.st_dev, file.st_ino, file.st_size,
                  file.st_mtim.tv_sec * 1000000000 + file.st_mtim.tv_nsec,
                  image.fingerprint);
    const auto known = tables_.find(key);
    if (known != tables_.end()) return by_part_[part] = known->second;
    absl::StatusOr<std::unique_ptr<SymbolTable>> table =
        SymbolTable::OfFile(path, name);
    if (!table.ok()) {
      return Replaced(image, mapped, name,
                      std::string(table.status().message()));
    }
    if ((*table)->fingerprint() != image.fingerprint) {
      return Replaced(image, mapped, name,
                      "its file was replaced after loading");
    }
    return by_part_[part] = tables_[key] = table->release();
  }

  // What was read of the file that is mapped is right for as long as it is,
  // whatever has its name now.
  const SymbolTable* Replaced(const Sighting& image, const MappedPart& mapped,
                              const std::string& name, const std::string& why) {
    const Part part(mapped.device, mapped.inode, image.fingerprint);
    const auto known = by_part_.find(part);
    if (mapped.inode != 0 && known != by_part_.end()) return known->second;
    const std::optional<ImageOriginal> original = FindImageOriginal(image.name);
    if (original.has_value() && original->moved_by != 0) {
      // What is mapped, and what lies in memory, is not as its file says.
      const SymbolTable*& unknown = unreadable_[{image.name, 0}];
      if (unknown == nullptr) {
        unknown = SymbolTable::Empty(name, why).release();
      }
      return unknown;
    }
    // Root may read what is mapped, unless the first thread has ended.
    absl::StatusOr<std::unique_ptr<SymbolTable>> table = SymbolTable::OfFile(
        absl::StrCat("/proc/self/map_files/", absl::Hex(mapped.low), "-",
                     absl::Hex(mapped.high)),
        name);
    if (table.ok() && (*table)->fingerprint() == image.fingerprint) {
      return by_part_[part] = table->release();
    }
    const SymbolTable*& in_memory = unreadable_[{name, image.fingerprint}];
    if (in_memory != nullptr) return in_memory;
    table = ReadMemory(image, name, why);
    if (!table.ok()) table = SymbolTable::Empty(name, why);
    return in_memory = table->release();
  }

  const SymbolTable* Vdso(const Sighting& image) {
    if (vdso_ != nullptr) return vdso_;
    absl::StatusOr<std::unique_ptr<SymbolTable>> table = SymbolTable::OfMemory(
        image.name, reinterpret_cast<const char*>(image.mapped_from),
        image.mapped_size);
    vdso_ = table.ok() ? table->release()
                       : SymbolTable::Empty(
                             image.name, std::string(table.status().message()))
                             .release();
    return vdso_;
  }

  std::map<Key, const SymbolTable*> tables_;
  std::map<std::string, const SymbolTable*> of_copies_;  // by image name
  std::map<Part, const SymbolTable*> by_part_;           // the latest
  std::map<std::pair<std::string, size_t>, const SymbolTable*> unreadable_;
  const SymbolTable* vdso_ = nullptr;
};

}  // namespace

// What is not known yet. The dynamic linker adds an object at the end of its
// list and takes none out but when it counts an unloading. So as long as none
// has been unloaded since, the images that were known are still those at the
// beginning of the list, and nothing about them has changed.
struct LoadedImages::Scan {
  const LoadedImages* const known;  // may be null
  Counters counters = {};
  size_t seen = 0;
  size_t still_loaded = 0;               // how many of `known` are
  std::vector<Sighting> sightings = {};  // of the others

  static int See(dl_phdr_info* info, size_t, void* scan) {
    Scan& self = *static_cast<Scan*>(scan);
    if (self.seen++ == 0) {
      self.counters = {info->dlpi_adds, info->dlpi_subs};
      if (self.known != nullptr &&
          self.known->unloads_ == self.counters.unloads) {
        self.still_loaded = self.known->images_.size();
      }
    }
    if (self.seen > self.still_loaded) {
      self.sightings.push_back(code_internal::See(*info));
    }
    return 0;
  }
};

std::shared_ptr<const LoadedImages> LoadedImages::Current() {
  // Never destroyed: threads may still ask while the process exits. The dynamic
  // linker takes the lock of its list inside ours and never the other way
  // round, since nothing that it calls with that lock held comes here. (A
  // constructor of an object that is being loaded may: it runs without it.)
  // fork() does not wait for it: it is owned while files are read.
  static ForkMutex mutex;
  static SymbolTables* tables;
  // The latest, and a place for the next, which may be half written in a child.
  static std::shared_ptr<const LoadedImages>* sets;
  static std::atomic<int> latest;

  std::lock_guard<ForkMutex> lock(mutex);
  if (sets == nullptr) sets = new std::shared_ptr<const LoadedImages>[2];
  const int now = latest.load(std::memory_order_relaxed);
  const std::shared_ptr<const LoadedImages>& current = sets[now];
  std::shared_ptr<const LoadedImages>& next = sets[1 - now];
  if (mutex.WasLostInFork()) {
    ::new (static_cast<void*>(&next)) std::shared_ptr<const LoadedImages>;
    tables = nullptr;
  }
  if (current != nullptr && current->IsCurrent()) return current;
  if (tables == nullptr) {
    tables = new SymbolTables;
    if (current != nullptr) tables->Add(*current);
  }

  Scan scan{current.get()};
  ForEachLoadedObject(Scan::See, &scan);
  std::shared_ptr<LoadedImages> images(new LoadedImages);
  images->images_.reserve(scan.still_loaded + scan.sightings.size());
  if (scan.still_loaded > 0) images->images_ = current->images_;
  images->loads_ = scan.counters.loads;
  images->unloads_ = scan.counters.unloads;
  for (Sighting& sighting : scan.sightings) {
    LoadedImage image;
    const std::optional<ImageOriginal> original =
        FindImageOriginal(sighting.name);
    image.linker_base = sighting.load_base;
    image.load_base =
        sighting.load_base + (original.has_value() ? original->moved_by : 0);
    image.code = sighting.code;
    image.thread_local_module = sighting.thread_local_module;
    image.is_program = images->images_.empty();
    image.symbols = tables->Get(sighting, image.is_program);
    image.name = std::move(sighting.name);
    images->images_.push_back(std::move(image));
  }
  if (scan.still_loaded > 0) {
    images->by_address_ = current->by_address_;
    images->begins_ = current->begins_;
  }
  for (size_t i = scan.still_loaded; i < images->images_.size(); ++i) {
    const uintptr_t begin = images->images_[i].code.begin;
    const auto at = std::upper_bound(images->begins_.begin(),
                                     images->begins_.end(), begin) -
                    images->begins_.begin();
    images->begins_.insert(images->begins_.begin() + at, begin);
    images->by_address_.insert(images->by_address_.begin() + at, i);
  }
  next = std::move(images);
  // Release: where a fork() finds it changed, the set is there.
  latest.store(1 - now, std::memory_order_release);
  return next;
}

ImagePin LoadedImages::Pin(const LoadedImage& image) {
  ImagePin pin(image.name, image.linker_base);
  if (!pin.ok() || image.is_program) return pin;
  // Another object may have been loaded there under that name.
  for (const LoadedImage& now : Current()->images_) {
    if (now.load_base == image.load_base && now.symbols == image.symbols) {
      return pin;
    }
  }
  return ImagePin();
}

bool LoadedImages::IsCurrent() const {
  const Counters counters = ReadCounters();
  return counters.loads == loads_ && counters.unloads == unloads_;
}

const LoadedImage* LoadedImages::Find(uintptr_t address) const {
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), address);
  if (after == begins_.begin()) return nullptr;
  const LoadedImage& image = images_[by_address_[after - begins_.begin() - 1]];
  return image.code.Contains(address) ? &image : nullptr;
}

}  // namespace code_internal
}  // namespace instar
