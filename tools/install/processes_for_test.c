/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * processes_for_test MODE FOLDER   a program that does what daemons do when
 * they start, and then answers each line of FOLDER/in.N by a price in
 * FOLDER/out.N, until its input ends. It knows nothing of Instar. */

#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) int Price(int count) { return count * 100; }

static const char* folder;
static int forks; /* when it is asked for the price of nothing */

static volatile sig_atomic_t urgent; /* how often CountUrgent() was called */

static void CountUrgent(int number) {
  (void)number;
  ++urgent;
}

static void Serve(int number) {
  char path[4096];
  char line[100];
  FILE *in, *out;
  snprintf(path, sizeof(path), "%s/in.%d", folder, number);
  in = fopen(path, "r");
  snprintf(path, sizeof(path), "%s/out.%d", folder, number);
  out = fopen(path, "w");
  if (in == NULL || out == NULL) exit(3);
  fprintf(out, "%d\n", (int)getpid());
  fflush(out);
  while (fgets(line, sizeof(line), in) != NULL) {
    if (strcmp(line, "urgent\n") == 0) {
      fprintf(out, "%d\n", (int)urgent);
      fflush(out);
      continue;
    }
    if (forks && atoi(line) == 0 && fork() == 0) {
      forks = 0;
      fclose(in);
      Serve(1);
      exit(0);
    }
    fprintf(out, "%d\n", Price(atoi(line)));
    fflush(out);
  }
}

static void* ServeOnThread(void* unused) {
  (void)unused;
  Serve(0);
  return NULL;
}

/* As libraries have them: no signal reaches it, and it calls what is updated.
 */
static void* ServeDeaf(void* unused) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  return ServeOnThread(unused);
}

static pthread_t StartThread(void* (*body)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, NULL) != 0) exit(7);
  return thread;
}

static int Filter(unsigned call, unsigned answer, int of_all_threads) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {4, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 0;
  /* As libseccomp does it. */
  return of_all_threads
             ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                       SECCOMP_FILTER_FLAG_TSYNC, &program) == 0
             : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* No program of its own needs that call. */
static int FilterAllThreads(unsigned answer) {
  return Filter(SYS_memfd_create, answer, 1);
}

/* What a worker does first. */
static void BeWorker(const char* kind) {
  sigset_t all;
  if (strcmp(kind, "filter") == 0) {
    if (!Filter(SYS_clone3, SECCOMP_RET_KILL_PROCESS, 0)) exit(9);
  } else if (strcmp(kind, "handle") == 0) {
    signal(SIGURG, &CountUrgent);
  } else if (strcmp(kind, "ignore") == 0) {
    signal(SIGURG, SIG_IGN);
  } else if (strcmp(kind, "default") == 0) {
    signal(SIGURG, SIG_DFL);
  } else if (strcmp(kind, "block") == 0) {
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
  }
}

int main(int argc, char** argv) {
  int workers, i;
  if (argc != 3) return 2;
  folder = argv[2];
  if (strncmp(argv[1], "prefork", 7) == 0) {
    workers = atoi(argv[1] + 7);
    for (i = 1; i <= workers; ++i) {
      if (fork() == 0) {
        Serve(i);
        return 0;
      }
    }
    Serve(0);
    while (wait(NULL) > 0) {
    }
    return 0;
  }
  forks = strcmp(argv[1], "fork_on_request") == 0;
  if (strcmp(argv[1], "daemon") == 0) {
    if (daemon(1, 1) != 0) return 4;
  } else if (strcmp(argv[1], "double_fork") == 0) {
    if (fork() != 0) return 0;
    setsid();
    if (fork() != 0) return 0;
  } else if (strcmp(argv[1], "setuid") == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 5;
  } else if (strcmp(argv[1], "close_all") == 0) {
    for (i = 3; i < 1024; ++i) close(i);
  } else if (strcmp(argv[1], "undumpable") == 0) {
    prctl(PR_SET_DUMPABLE, 0);
  } else if (strcmp(argv[1], "exited_main") == 0) {
    pthread_detach(StartThread(&ServeOnThread));
    pthread_exit(NULL);
  } else if (strcmp(argv[1], "deaf") == 0) {
    pthread_join(StartThread(&ServeDeaf), NULL);
    return 0;
  } else if (strcmp(argv[1], "chroot") == 0) {
    if (chroot(folder) != 0 || chdir("/") != 0) return 8;
    folder = "";
  } else if (strcmp(argv[1], "filter_all_threads") == 0) {
    if (!FilterAllThreads(SECCOMP_RET_ALLOW)) return 9;
  } else if (strcmp(argv[1], "filter_all_threads_strictly") == 0) {
    if (!FilterAllThreads(SECCOMP_RET_KILL_PROCESS)) return 9;
  } else if (strncmp(argv[1], "worker_", 7) == 0) {
    if (strcmp(argv[1], "worker_of_filtered") == 0 &&
        !FilterAllThreads(SECCOMP_RET_ALLOW)) {
      return 9;
    }
    if (fork() == 0) {
      BeWorker(argv[1] + 7);
      Serve(1);
      return 0;
    }
    wait(NULL);
    return 0;
  } else if (strcmp(argv[1], "chroot_worker") == 0) {
    if (fork() == 0) {
      if (chroot(folder) != 0 || chdir("/") != 0) exit(8);
      folder = "";
      Serve(1);
      return 0;
    }
    wait(NULL);
    return 0;
  } else if (strcmp(argv[1], "setuid_worker") == 0) {
    if (fork() == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0) exit(5);
      Serve(1);
      return 0;
    }
    wait(NULL);
    return 0;
  }
  Serve(0);
  return 0;
}
