/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * hardened_for_test SETTING... PROGRAM ARGUMENT...   executes the program as
 * systemd does in a service with these lines in its unit file:
 *
 *   NoNewPrivileges=yes
 *   MemoryDenyWriteExecute=yes            by prctl(PR_SET_MDWE)
 *   MemoryDenyWriteExecute=seccomp        by a filter, as where the kernel
 * (6.3)
 *                                         or systemd (254) is older
 *   SystemCallFilter=@system-service      any other call ends the process
 *   SystemCallFilter=CALL                 that one is allowed, too
 *   SystemCallFilter=~CALL                that one is not
 *   SystemCallErrorNumber=EPERM           other calls fail instead
 *   PrivateTmp=yes
 *   ProtectProc=invisible
 *   ProcSubset=pid
 *   PrivateNetwork=yes
 *   ReadOnlyPaths=/                       /proc, too
 *   ProtectSystem=strict                  all but /dev, /proc and /sys
 *   TemporaryFileSystem=FOLDER            an empty one
 *   RestrictAddressFamilies=AF_INET       and thus no AF_UNIX
 *
 * Exits with 77, and says why, where the kernel does not permit that here. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#define REFUSE_EXEC_GAIN 1

struct call {
  const char* name;
  unsigned number;
  int is_allowed;
};

/* What `systemd-analyze syscall-filter @system-service` lists (systemd 252),
 * and what it does not and a test names. */
#define CALL(name) \
  { #name, SYS_##name, 1 }
#define OTHER(name) \
  { #name, SYS_##name, 0 }
/* clang-format off */
static struct call calls[] = {
    CALL(accept), CALL(accept4), CALL(access), CALL(add_key), CALL(alarm),
    CALL(arch_prctl), CALL(bind), CALL(brk), CALL(capget), CALL(capset),
    CALL(chdir), CALL(chmod), CALL(chown), CALL(clock_getres),
    CALL(clock_gettime), CALL(clock_nanosleep), CALL(clone), CALL(clone3),
    CALL(close), CALL(close_range), CALL(connect), CALL(copy_file_range),
    CALL(creat), CALL(dup), CALL(dup2), CALL(dup3), CALL(epoll_create),
    CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_ctl_old),
    CALL(epoll_pwait), CALL(epoll_pwait2), CALL(epoll_wait),
    CALL(epoll_wait_old), CALL(eventfd), CALL(eventfd2), CALL(execve),
    CALL(execveat), CALL(exit), CALL(exit_group), CALL(faccessat),
    CALL(faccessat2), CALL(fadvise64), CALL(fallocate), CALL(fchdir),
    CALL(fchmod), CALL(fchmodat), CALL(fchown), CALL(fchownat), CALL(fcntl),
    CALL(fdatasync), CALL(fgetxattr), CALL(flistxattr), CALL(flock),
    CALL(fork), CALL(fremovexattr), CALL(fsetxattr), CALL(fstat),
    CALL(fstatfs), CALL(fsync), CALL(ftruncate), CALL(futex),
    CALL(futex_waitv), CALL(futimesat), CALL(get_mempolicy),
    CALL(get_robust_list), CALL(get_thread_area), CALL(getcpu), CALL(getcwd),
    CALL(getdents), CALL(getdents64), CALL(getegid), CALL(geteuid),
    CALL(getgid), CALL(getgroups), CALL(getitimer), CALL(getpeername),
    CALL(getpgid), CALL(getpgrp), CALL(getpid), CALL(getppid),
    CALL(getpriority), CALL(getrandom), CALL(getresgid), CALL(getresuid),
    CALL(getrlimit), CALL(getrusage), CALL(getsid), CALL(getsockname),
    CALL(getsockopt), CALL(gettid), CALL(gettimeofday), CALL(getuid),
    CALL(getxattr), CALL(inotify_add_watch), CALL(inotify_init),
    CALL(inotify_init1), CALL(inotify_rm_watch), CALL(io_cancel),
    CALL(io_destroy), CALL(io_getevents), CALL(io_pgetevents), CALL(io_setup),
    CALL(io_submit), CALL(io_uring_enter), CALL(io_uring_register),
    CALL(io_uring_setup), CALL(ioctl), CALL(ioprio_get), CALL(ioprio_set),
    CALL(kcmp), CALL(keyctl), CALL(kill), CALL(lchown), CALL(lgetxattr),
    CALL(link), CALL(linkat), CALL(listen), CALL(listxattr), CALL(llistxattr),
    CALL(lremovexattr), CALL(lseek), CALL(lsetxattr), CALL(lstat),
    CALL(madvise), CALL(mbind), CALL(membarrier), CALL(memfd_create),
    CALL(migrate_pages), CALL(mkdir), CALL(mkdirat), CALL(mknod),
    CALL(mknodat), CALL(mlock), CALL(mlock2), CALL(mlockall), CALL(mmap),
    CALL(move_pages), CALL(mprotect), CALL(mq_getsetattr), CALL(mq_notify),
    CALL(mq_open), CALL(mq_timedreceive), CALL(mq_timedsend), CALL(mq_unlink),
    CALL(mremap), CALL(msgctl), CALL(msgget), CALL(msgrcv), CALL(msgsnd),
    CALL(msync), CALL(munlock), CALL(munlockall), CALL(munmap),
    CALL(name_to_handle_at), CALL(nanosleep), CALL(newfstatat), CALL(open),
    CALL(openat), CALL(openat2), CALL(pause), CALL(personality),
    CALL(pidfd_open), CALL(pidfd_send_signal), CALL(pipe), CALL(pipe2),
    CALL(poll), CALL(ppoll), CALL(prctl), CALL(pread64), CALL(preadv),
    CALL(preadv2), CALL(prlimit64), CALL(process_madvise),
    CALL(process_vm_readv), CALL(process_vm_writev), CALL(pselect6),
    CALL(pwrite64), CALL(pwritev), CALL(pwritev2), CALL(read), CALL(readahead),
    CALL(readlink), CALL(readlinkat), CALL(readv), CALL(recvfrom),
    CALL(recvmmsg), CALL(recvmsg), CALL(remap_file_pages), CALL(removexattr),
    CALL(rename), CALL(renameat), CALL(renameat2), CALL(request_key),
    CALL(restart_syscall), CALL(rmdir), CALL(rseq), CALL(rt_sigaction),
    CALL(rt_sigpending), CALL(rt_sigprocmask), CALL(rt_sigqueueinfo),
    CALL(rt_sigreturn), CALL(rt_sigsuspend), CALL(rt_sigtimedwait),
    CALL(rt_tgsigqueueinfo), CALL(sched_get_priority_max),
    CALL(sched_get_priority_min), CALL(sched_getaffinity), CALL(sched_getattr),
    CALL(sched_getparam), CALL(sched_getscheduler),
    CALL(sched_rr_get_interval), CALL(sched_setaffinity), CALL(sched_setattr),
    CALL(sched_setparam), CALL(sched_setscheduler), CALL(sched_yield),
    CALL(select), CALL(semctl), CALL(semget), CALL(semop), CALL(semtimedop),
    CALL(sendfile), CALL(sendmmsg), CALL(sendmsg), CALL(sendto),
    CALL(set_mempolicy), CALL(set_mempolicy_home_node), CALL(set_robust_list),
    CALL(set_thread_area), CALL(set_tid_address), CALL(setfsgid),
    CALL(setfsuid), CALL(setgid), CALL(setgroups), CALL(setitimer),
    CALL(setns), CALL(setpgid), CALL(setpriority), CALL(setregid),
    CALL(setresgid), CALL(setresuid), CALL(setreuid), CALL(setrlimit),
    CALL(setsid), CALL(setsockopt), CALL(setuid), CALL(setxattr), CALL(shmat),
    CALL(shmctl), CALL(shmdt), CALL(shmget), CALL(shutdown), CALL(sigaltstack),
    CALL(signalfd), CALL(signalfd4), CALL(socket), CALL(socketpair),
    CALL(splice), CALL(stat), CALL(statfs), CALL(statx), CALL(symlink),
    CALL(symlinkat), CALL(sync), CALL(sync_file_range), CALL(syncfs),
    CALL(sysinfo), CALL(tee), CALL(tgkill), CALL(time), CALL(timer_create),
    CALL(timer_delete), CALL(timer_getoverrun), CALL(timer_gettime),
    CALL(timer_settime), CALL(timerfd_create), CALL(timerfd_gettime),
    CALL(timerfd_settime), CALL(times), CALL(tkill), CALL(truncate),
    CALL(umask), CALL(uname), CALL(unlink), CALL(unlinkat), CALL(unshare),
    CALL(userfaultfd), CALL(utime), CALL(utimensat), CALL(utimes), CALL(vfork),
    CALL(vmsplice), CALL(wait4), CALL(waitid), CALL(write), CALL(writev),
    OTHER(ptrace),
};
/* clang-format on */
#define CALLS (sizeof(calls) / sizeof(calls[0]))

static void not_permitted(const char* what) {
  printf("%s: %s\n", what, strerror(errno));
  exit(77);
}

static void check(int result, const char* what) {
  if (result != 0) not_permitted(what);
}

/* --- Filters. */

static struct sock_filter filter[2 * CALLS + 16];
static unsigned short length;

static void add(unsigned short code, unsigned k, unsigned char on_true,
                unsigned char on_false) {
  const struct sock_filter instruction = {code, on_true, on_false, k};
  filter[length++] = instruction;
}

static void load(size_t offset) {
  add(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void answer(unsigned action) { add(BPF_RET | BPF_K, action, 0, 0); }

/* Of a call with this number: on to the next instruction, or past `skipped`. */
static void if_number(unsigned number, unsigned char skipped) {
  add(BPF_JMP | BPF_JEQ | BPF_K, number, 0, skipped);
}

static void install(const char* what) {
  const struct sock_fprog program = {length, filter};
  check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), what);
  length = 0;
}

static void allow_calls(unsigned of_others) {
  size_t i;
  load(offsetof(struct seccomp_data, nr));
  for (i = 0; i < CALLS; ++i) {
    if (!calls[i].is_allowed) continue;
    if_number(calls[i].number, 1);
    answer(SECCOMP_RET_ALLOW);
  }
  answer(of_others);
  install("SystemCallFilter=");
}

static void find_call(const char* name, int is_allowed) {
  size_t i;
  for (i = 0; i < CALLS; ++i) {
    if (strcmp(calls[i].name, name) != 0) continue;
    calls[i].is_allowed = is_allowed;
    return;
  }
  fprintf(stderr, "the table has no %s\n", name);
  exit(2);
}

/* Of this call, those whose argument has all of these bits fail with EPERM. */
static void refuse_bits(unsigned number, unsigned argument, unsigned bits) {
  load(offsetof(struct seccomp_data, nr));
  if_number(number, 4);
  load(offsetof(struct seccomp_data, args) + argument * 8);
  add(BPF_ALU | BPF_AND | BPF_K, bits, 0, 0);
  add(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1);
  answer(SECCOMP_RET_ERRNO | EPERM);
}

static void refuse_writable_code(void) {
  refuse_bits(SYS_mmap, 2, PROT_EXEC | PROT_WRITE);
  refuse_bits(SYS_mprotect, 2, PROT_EXEC);
  refuse_bits(SYS_pkey_mprotect, 2, PROT_EXEC);
  refuse_bits(SYS_shmat, 2, SHM_EXEC);
  answer(SECCOMP_RET_ALLOW);
  install("MemoryDenyWriteExecute=");
}

static void refuse_unix_sockets(void) {
  load(offsetof(struct seccomp_data, nr));
  if_number(SYS_socket, 3);
  load(offsetof(struct seccomp_data, args));
  if_number(AF_UNIX, 1);
  answer(SECCOMP_RET_ERRNO | EAFNOSUPPORT);
  answer(SECCOMP_RET_ALLOW);
  install("RestrictAddressFamilies=");
}

/* --- Mounts. */

static void own_mounts(void) {
  static int has_own = 0;
  if (has_own) return;
  has_own = 1;
  check(unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)");
  check(mount("", "/", "", MS_REC | MS_SLAVE, NULL), "mount --make-rslave /");
}

static void empty_folder(const char* path) {
  own_mounts();
  check(mount("tmpfs", path, "tmpfs", 0, "mode=1777"), path);
}

static void another_proc(const char* options) {
  own_mounts();
  check(mount("proc", "/proc", "proc", 0, options), options);
}

static void make_read_only(const char* path, int is_read_only) {
  struct mount_attr change;
  memset(&change, 0, sizeof(change));
  *(is_read_only ? &change.attr_set : &change.attr_clr) = MOUNT_ATTR_RDONLY;
  check((int)syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &change,
                     sizeof(change)),
        path);
}

/* --- The settings. */

static const char* value_of(const char* line, const char* name) {
  const size_t size = strlen(name);
  return strncmp(line, name, size) == 0 && line[size] == '=' ? line + size + 1
                                                             : NULL;
}

int main(int argc, char** argv) {
  int has_filter = 0, by_filter = 0, by_prctl = 0, no_sockets = 0;
  unsigned of_others = SECCOMP_RET_KILL_PROCESS;
  int i;
  for (i = 1; i < argc && strchr(argv[i], '=') != NULL; ++i) {
    const char* value;
    if ((value = value_of(argv[i], "SystemCallFilter")) != NULL) {
      has_filter = 1;
      if (value[0] != '@')
        find_call(value + (value[0] == '~'), value[0] != '~');
    } else if (strcmp(argv[i], "SystemCallErrorNumber=EPERM") == 0) {
      of_others = SECCOMP_RET_ERRNO | EPERM;
    } else if ((value = value_of(argv[i], "MemoryDenyWriteExecute")) != NULL) {
      by_filter = strcmp(value, "seccomp") == 0;
      by_prctl = !by_filter;
    } else if (strcmp(argv[i], "RestrictAddressFamilies=AF_INET") == 0) {
      no_sockets = 1;
    } else if (strcmp(argv[i], "NoNewPrivileges=yes") == 0) {
      check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), argv[i]);
    } else if (strcmp(argv[i], "PrivateTmp=yes") == 0) {
      empty_folder("/tmp");
      empty_folder("/var/tmp");
    } else if ((value = value_of(argv[i], "TemporaryFileSystem")) != NULL) {
      empty_folder(value);
    } else if (strcmp(argv[i], "ReadOnlyPaths=/") == 0) {
      own_mounts();
      make_read_only("/", 1);
    } else if (strcmp(argv[i], "ProtectSystem=strict") == 0) {
      own_mounts();
      make_read_only("/", 1);
      make_read_only("/dev", 0);
      make_read_only("/proc", 0);
      make_read_only("/sys", 0);
    } else if (strcmp(argv[i], "ProtectProc=invisible") == 0) {
      another_proc("hidepid=invisible");
    } else if (strcmp(argv[i], "ProcSubset=pid") == 0) {
      another_proc("subset=pid");
    } else if (strcmp(argv[i], "PrivateNetwork=yes") == 0) {
      check(unshare(CLONE_NEWNET), argv[i]);
    } else {
      fprintf(stderr, "hardened_for_test: %s is not known\n", argv[i]);
      return 2;
    }
  }
  if (i >= argc) return 2;
  if (by_prctl) {
    check(prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0), "PR_SET_MDWE");
  }
  /* The widest one first: it must allow the others to be made. */
  if (has_filter || by_filter || no_sockets) {
    find_call("prctl", 1);
  }
  if (by_filter) refuse_writable_code();
  if (no_sockets) refuse_unix_sockets();
  if (has_filter) allow_calls(of_others);
  execv(argv[i], argv + i);
  perror(argv[i]);
  return 126;
}
