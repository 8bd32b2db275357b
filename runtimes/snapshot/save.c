/*
 * snapshot_save(): writes the calling process, of one thread, as an image that restore.c can go on
 * with. It returns twice, as setjmp() does: 0 (or a negative errno) where it was called, and 1 in
 * every process that goes on from the image. The runtime loads this library when its function is
 * initialised. It sees to descriptors, signals and folders itself; what is here is memory and
 * registers.
 */
#include "image.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { MAPS_BYTES = 1024 * 1024, GAP_PAGES = 8, ENTRIES = 512, RSEQ_BYTES = 32 };

struct tables {
	struct image image;
	struct region regions[REGIONS_MAX];
	struct run runs[RUNS_MAX];
	char paths[PATHS_BYTES];
	char maps[MAPS_BYTES];
	uint64_t entries[ENTRIES];
	int pagemap, out;
	uint64_t at; /* in the data */
};

/* Of the C library, where it has it. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));

int save_context(struct context *to) __attribute__((returns_twice, visibility("hidden")));
__asm__(".text\n.hidden save_context\n.type save_context,@function\nsave_context:\n"
	"mov %rbx,0(%rdi)\nmov %rbp,8(%rdi)\nmov %r12,16(%rdi)\nmov %r13,24(%rdi)\n"
	"mov %r14,32(%rdi)\nmov %r15,40(%rdi)\nlea 8(%rsp),%rax\nmov %rax,48(%rdi)\n"
	"mov (%rsp),%rax\nmov %rax,56(%rdi)\nmov %fs:0,%rax\nmov %rax,64(%rdi)\n"
	"stmxcsr 72(%rdi)\nfnstcw 76(%rdi)\nxor %eax,%eax\nret\n");

static int write_all(int fd, const void *p, uint64_t n)
{
	while (n) {
		long rc = CALL(SYS_write, fd, p, n);

		if (rc == -EINTR)
			continue;
		if (rc <= 0)
			return rc < 0 ? (int)rc : -EIO;
		p = (const char *)p + rc;
		n -= (uint64_t)rc;
	}
	return 0;
}

static long read_file(const char *path, char *to, uint64_t max)
{
	long fd = CALL(SYS_open, path, O_RDONLY | O_CLOEXEC), n = 0, rc = fd;

	while (rc >= 0 && (uint64_t)n < max - 1) {
		rc = CALL(SYS_read, fd, to + n, max - 1 - (uint64_t)n);
		if (rc <= 0)
			break;
		n += rc;
	}
	if (fd >= 0)
		CALL(SYS_close, fd);
	to[n] = 0;
	return rc < 0 ? rc : n;
}

/* ---- regions ---- */

static int set_path(struct tables *t, struct region *r, const char *path)
{
	struct stat st;
	uint64_t n = 0;

	while (path[n])
		n++;
	if (t->image.paths_bytes + n + 1 > PATHS_BYTES)
		return -E2BIG;
	if (CALL(SYS_stat, path, &st) < 0)
		return -ESTALE; /* deleted, or nothing that has a name */
	r->kind = REGION_FILE;
	r->path = t->image.paths_bytes;
	r->size = (uint64_t)st.st_size;
	r->mtime = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	for (uint64_t i = 0; i <= n; i++)
		t->paths[t->image.paths_bytes++] = path[i];
	return 0;
}

/* One line: START-END PERM OFFSET DEV INODE PATH. Ours and the fixed page are left out. */
static int take_line(struct tables *t, const char *line)
{
	struct region *r = &t->regions[t->image.region_count];
	const char *perm;

	*r = (struct region){0};
	r->start = take_hex(&line);
	line++;
	r->end = take_hex(&line);
	perm = ++line;
	line += 5;
	r->offset = take_hex(&line);
	r->protection = (perm[0] == 'r' ? PROT_READ : 0u) | (perm[1] == 'w' ? PROT_WRITE : 0u) |
			(perm[2] == 'x' ? PROT_EXEC : 0u);
	r->shared = perm[3] == 's';
	line++;
	while (*line && *line != ' ')
		line++; /* the device */
	while (*line == ' ')
		line++;
	while (*line >= '0' && *line <= '9')
		line++; /* the inode */
	while (*line == ' ')
		line++;
	if ((r->start <= (uint64_t)t && (uint64_t)t < r->end) || starts(line, "[vsyscall]"))
		return 0;
	if (r->shared && (r->protection & PROT_WRITE))
		return -ENOTSUP; /* memory shared with others */
	if (starts(line, "[vvar") || starts(line, "[vdso]"))
		r->kind = REGION_KERNEL;
	else if (starts(line, "[stack]"))
		r->kind = REGION_STACK;
	else if (*line == '/') {
		int rc = set_path(t, r, line);

		if (rc < 0)
			return rc;
	}
	if (t->image.region_count == REGIONS_MAX - 1)
		return -E2BIG;
	t->image.region_count++;
	return 0;
}

static int find_regions(struct tables *t)
{
	long n = read_file("/proc/self/maps", t->maps, MAPS_BYTES);
	char *line = t->maps;

	if (n < 0)
		return (int)n;
	if (n == MAPS_BYTES - 1)
		return -E2BIG;
	while (*line) {
		char *end = line;
		int rc;

		while (*end && *end != '\n')
			end++;
		if (*end)
			*end++ = 0;
		rc = take_line(t, line);
		if (rc < 0)
			return rc;
		line = end;
	}
	return 0;
}

/* ---- runs ---- */

static int add_page(struct tables *t, const struct region *r, uint64_t page)
{
	struct run *last = t->image.run_count ? &t->runs[t->image.run_count - 1] : NULL;

	if (last && last->start >= r->start &&
		page - (last->start + last->bytes) <= GAP_PAGES * PAGE && r->kind != REGION_FILE) {
		last->bytes = page + PAGE - last->start;
		return 0;
	}
	if (last && last->start >= r->start && page == last->start + last->bytes) {
		last->bytes += PAGE;
		return 0;
	}
	if (t->image.run_count == RUNS_MAX)
		return -E2BIG;
	t->runs[t->image.run_count++] = (struct run){page, PAGE, 0, r->protection, 0};
	return 0;
}

/* Pages of the process's own: present (63) or swapped (62), and not a file's or shared (61). */
static int find_pages(struct tables *t, const struct region *r)
{
	for (uint64_t page = r->start; page < r->end; page += ENTRIES * PAGE) {
		uint64_t n = (r->end - page) / PAGE;
		long rc;

		n = n < ENTRIES ? n : ENTRIES;
		rc = CALL(SYS_pread64, t->pagemap, t->entries, n * 8, page / PAGE * 8);
		if (rc != (long)(n * 8))
			return rc < 0 ? (int)rc : -EIO;
		for (uint64_t i = 0; i < n; i++)
			if (t->entries[i] >> 62 && !(t->entries[i] >> 61 & 1)) {
				int added = add_page(t, r, page + i * PAGE);

				if (added < 0)
					return added;
			}
	}
	return 0;
}

static int find_runs(struct tables *t)
{
	t->pagemap = (int)CALL(SYS_open, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (t->pagemap < 0)
		return t->pagemap;
	for (uint32_t i = 0; i < t->image.region_count; i++) {
		const struct region *r = &t->regions[i];
		int rc = r->kind == REGION_KERNEL || r->shared || !(r->protection & PROT_READ)
				 ? 0
				 : find_pages(t, r);

		if (rc < 0)
			return rc;
	}
	CALL(SYS_close, t->pagemap);
	return 0;
}

/* ---- the rest of the head ---- */

static uint64_t take_decimal(const char **at)
{
	uint64_t v = 0;

	while (**at == ' ')
		(*at)++;
	for (; **at >= '0' && **at <= '9'; (*at)++)
		v = v * 10 + (uint64_t)(**at - '0');
	return v;
}

/* proc(5), stat: fields 26 to 28 and 45 to 51. */
static void find_memory_map(struct tables *t)
{
	static const unsigned char wanted[] = {26, 27, 28, 45, 46, 47, 48, 49, 50, 51};
	uint64_t v[sizeof wanted];
	const char *at = t->maps;
	unsigned field = 2, found = 0;

	if (read_file("/proc/self/stat", t->maps, 4096) < 0)
		return;
	for (const char *p = t->maps; *p; p++)
		if (*p == ')')
			at = p + 1;
	while (*at && found < sizeof wanted) {
		while (*at == ' ')
			at++;
		if (++field == wanted[found])
			v[found++] = take_decimal(&at);
		while (*at && *at != ' ')
			at++;
	}
	if (found < sizeof wanted)
		return;
	t->image.map = (struct memory_map){.start_code = v[0],
		.end_code = v[1],
		.start_stack = v[2],
		.start_data = v[3],
		.end_data = v[4],
		.start_brk = v[5],
		.brk = (uint64_t)CALL(SYS_brk, 0),
		.arg_start = v[6],
		.arg_end = v[7],
		.env_start = v[8],
		.env_end = v[9],
		.exe_fd = ~0u};
}

static void find_registrations(struct tables *t, struct image *im)
{
	CALL(SYS_get_robust_list, 0, &im->robust_list, &im->robust_bytes);
	if (&__rseq_offset) {
		im->rseq = im->context.fs + (uint64_t)__rseq_offset;
		im->rseq_bytes = RSEQ_BYTES;
	}
	im->pid = (uint32_t)CALL(SYS_getpid, 0);
	find_memory_map(t);
}

static int write_image(struct tables *t)
{
	static const char zero[PAGE];
	struct image *im = &t->image;
	uint64_t head = sizeof *im + im->region_count * sizeof(struct region) +
			im->run_count * sizeof(struct run) + im->paths_bytes;
	int rc;

	im->data_offset = (head + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	t->at = im->data_offset;
	for (uint32_t i = 0; i < im->run_count; i++) {
		t->runs[i].offset = t->at;
		t->at += t->runs[i].bytes;
	}
	rc = write_all(t->out, im, sizeof *im);
	if (rc == 0)
		rc = write_all(t->out, t->regions, im->region_count * sizeof(struct region));
	if (rc == 0)
		rc = write_all(t->out, t->runs, im->run_count * sizeof(struct run));
	if (rc == 0)
		rc = write_all(t->out, t->paths, im->paths_bytes);
	if (rc == 0)
		rc = write_all(t->out, zero, im->data_offset - head);
	for (uint32_t i = 0; rc == 0 && i < im->run_count; i++)
		rc = write_all(t->out, (const void *)t->runs[i].start, t->runs[i].bytes);
	return rc;
}

static int save(struct tables *t)
{
	int rc = find_regions(t);

	if (rc == 0)
		rc = find_runs(t);
	if (rc == 0)
		find_registrations(t, &t->image);
	return rc ? rc : write_image(t);
}

int snapshot_save(int fd, struct resumed *resumed)
{
	/* Shared, so that it is not made one mapping with what lies beside it. */
	struct tables *t = (struct tables *)CALL(
		SYS_mmap, 0, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rc;

	if ((long)t < 0 && (long)t > -PAGE)
		return (int)(long)t;
	t->out = fd;
	t->image.magic = IMAGE_MAGIC;
	t->image.resumed = (uint64_t)resumed;
	if (save_context(&t->image.context))
		return 1;
	rc = save(t);
	CALL(SYS_munmap, t, sizeof *t);
	return rc;
}
