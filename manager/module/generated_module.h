// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What instar-diff writes into a module that it generates, and the loader
// reads: tables in sections that are in the file and are not loaded.
//
// A generated module refers to what its target, a program or a shared object,
// keeps to itself: static variables, static functions, constants. It names none
// of them. Each such field of it is an Import, which says where in the target
// the thing lies; the loader writes the field in the private copy before it is
// loaded. Fields of four bytes are why such a module has to lie within 2 GiB of
// its images.
//
// The module has the notes of every update module (updates/update_module.h), of
// kind kGeneratedKind, and exports no instar_update_module. What it refers to
// in shared libraries, and new names of its own, are dynamic symbols as usual.
// It is linked at address 0 without text relocations, indirect functions and
// functions that run when it is unloaded; its functions have whole patchable
// entries, and its DT_SONAME is that of a finished module
// (tools/finish_update_module.py). `ld` of binutils drops these sections with
// --gc-sections, since they have relocations and nothing refers to them.
//
// All integers are little endian; all tables are arrays without a header. A
// name is an offset into .instar.names, where a string ends with a zero byte.

#ifndef INSTAR_MANAGER_MODULE_GENERATED_MODULE_H_
#define INSTAR_MANAGER_MODULE_GENERATED_MODULE_H_

#include <cstdint>

namespace instar {
namespace generated_module {

// Strings, each with a zero byte after it.
inline constexpr char kNamesSection[] = ".instar.names";

// The images that the module refers to. The first is the target, whose
// functions are redefined; the others are modules that were generated for it
// before, in the order in which they have to have been applied.
inline constexpr char kImagesSection[] = ".instar.images";
struct ImageRecord {
  std::uint64_t name;      // a file's name, for messages
  std::uint64_t build_id;  // a name: hexadecimal digits
};

// Fields of the module that the loader writes.
inline constexpr char kImportsSection[] = ".instar.imports";
enum class ImportKind : std::uint32_t {
  kAbsolute64 = 1,  // 8 bytes: target + addend
  kRelative32 = 2,  // 4 bytes: target + addend - place, signed
  // 8 bytes of .debug_info, `place` is an offset in that section. Debuggers add
  // the address of the module to what stands there: the field is target +
  // addend minus that.
  kDebugAddress = 3,
  // 8 bytes: what the eight bytes at the target hold when the module is loaded,
  // + addend. It is what the dynamic linker has bound a name to.
  kContents64 = 4,
  // Writes nothing; `place` and `addend` are 0. The name is one that the target
  // exports, and other images may define in its place. The module uses the
  // target's own: where the name leads elsewhere it is refused,
  kIsOwn = 5,
  // or redefines it: where the name leads elsewhere that is said, since others
  // do not reach it.
  kMayBeOther = 6,
};
struct Import {
  std::uint64_t place;  // address in the module, as linked at address 0
  std::uint64_t
      target;  // address in the image, as linked (relative to its base)
  std::int64_t addend;
  ImportKind kind;
  std::uint32_t image;  // index in the images
  std::uint64_t name;   // of the target, for messages
};

// Functions that change: calls of the old entry go to the new one. None if all
// that the update does is done by hooks. An old entry in the target is always
// the function's own, whatever earlier modules have redirected it to; one that
// an earlier module has brought is an entry in that one.
inline constexpr char kRedefinitionsSection[] = ".instar.redefine";
enum RedefinitionFlags : std::uint32_t {
  // The old function, in every version that it ever had, has to be on no stack,
  // before the change and before it is undone. Functions that it was inlined
  // into, and its callers, are records of their own. (Not set: threads may be
  // inside, and go on in the version that they are in.)
  kMustBeQuiescent = 1,
  // Not to be redirected: only watched, because it has no other version and was
  // compiled for what it calls or uses as it is before the change, or after it.
  // new_entry is 0; old_entry is any address in it. Of a program without
  // symbols, what the compiler split off a function (f.cold) is a record of its
  // own.
  kOnlyWatched = 2,
};
// Of a record that is only watched: a function of this module, which is on no
// stack when the update is undone.
inline constexpr std::uint32_t kThisModule = 0xffff'ffff;
struct Redefinition {
  std::uint64_t old_entry;  // address in the image
  std::uint64_t new_entry;  // address in the module, as linked at address 0
  std::uint64_t name;       // linkage name
  std::uint32_t image;      // or kThisModule
  std::uint32_t flags;
};

// Besides hooks (manager/c/instar_hooks.h) it exports the functions by which
// INSTAR_CONVERT tells of members (heap/appended_member.h): instances of
// instar_generated_convert(), whose linkage names begin so.
inline constexpr char kConvertPrefix[] = "_Z24instar_generated_convert";
inline constexpr char kHookPrefix[] = "instar_generated_";

// The report of instar-diff, as JSON.
inline constexpr char kReportSection[] = ".instar.report";

static_assert(sizeof(ImageRecord) == 16 && sizeof(Import) == 40 &&
                  sizeof(Redefinition) == 32,
              "the tables' format");

}  // namespace generated_module
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_GENERATED_MODULE_H_
