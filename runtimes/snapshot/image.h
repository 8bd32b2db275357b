/*
 * The memory of an initialised runtime as a file: what save.c writes in one container and restore.c
 * maps in others, of the same version of the same function only. Both are free of the C library.
 *
 * The file: a head, `region_count` regions, `run_count` runs, paths (NUL-terminated), and from
 * data_offset on pages. Regions are the process's mappings; runs are the pages of its own in them,
 * everything else is zero or the file's. x86-64 only.
 *
 * Nothing of it is trusted by anybody but the process that it becomes.
 */
#ifndef SNAPSHOT_IMAGE_H
#define SNAPSHOT_IMAGE_H

#include <stdint.h>

#define IMAGE_MAGIC UINT64_C(0x31706e7375726963)

enum { PAGE = 4096, REGIONS_MAX = 4096, RUNS_MAX = 16384, PATHS_BYTES = 256 * 1024 };

enum region_kind {
	REGION_ANONYMOUS,
	REGION_FILE,
	REGION_STACK,  /* the main thread's: it grows downwards */
	REGION_KERNEL, /* vvar and vdso: the kernel's own, moved where they were */
};

struct region {
	uint64_t start, end, offset, size, mtime; /* of the file */
	uint32_t kind, protection, path;          /* in paths */
	uint32_t shared;
};

struct run {
	uint64_t start, bytes, offset;
	uint32_t protection, pad;
};

/* What setjmp keeps, and the thread pointer. */
struct context {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip, fs;
	uint32_t mxcsr, fcw;
};

/* Where the process that goes on finds what it was started with. */
struct resumed {
	const char *environment; /* NAME=VALUE, each ended by NUL */
	uint64_t bytes;
};

/* Returns twice: 0 or a negative errno, and 1 in each process that goes on from the file. */
int snapshot_save(int fd, struct resumed *resumed);

/* struct prctl_mm_map of the kernel. */
struct memory_map {
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start,
		arg_end, env_start, env_end, auxv;
	uint32_t auxv_size, exe_fd;
};

struct image {
	uint64_t magic;
	uint32_t region_count, run_count, paths_bytes, pid;
	uint64_t data_offset, resumed; /* address of a struct resumed */
	uint64_t robust_list, robust_bytes, rseq, rseq_bytes;
	struct context context;
	struct memory_map map;
};

/* ---- the few system calls ---- */

static inline long call6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long rc;

	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}
#define CALL(n, ...) CALL_(n, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(n, a, b, c, d, e, f, ...) \
	call6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* ---- lines of /proc/self/maps ---- */

static inline uint64_t take_hex(const char **at)
{
	uint64_t v = 0;

	for (;; (*at)++) {
		char c = **at;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return v;
	}
}

static inline int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static inline int starts(const char *a, const char *b)
{
	while (*b && *a == *b)
		a++, b++;
	return !*b;
}

#endif
