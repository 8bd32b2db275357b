/*
 * restore IMAGE PROGRAM [ARGUMENT ...]: becomes the process whose image it is.
 *
 * Static, at an address of its own where nothing else lies, and free of the C library: until the
 * jump at its end it can still execute PROGRAM instead, which starts in the ordinary way. So
 * whatever does not fit (an image that is not there, other files, another layout) costs time, and
 * is said on standard error.
 *
 * The kernel lays out each process by chance. Once in hundreds of times its stack, its pages and
 * what it maps would meet a mapping of the image. So all that it needs is in its own data or at
 * fixed addresses behind that, and the rest makes room.
 *
 * Its environment comes from descriptor 3 when it was booted in advance, without _HANDLER.
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

enum { GATE = 3, BLOCK_BYTES = 128 * 1024, VARIABLES_MAX = 512, RSEQ_SIGNATURE = 0x53053053 };
enum { ARGUMENTS_MAX = 16, TEXT_BYTES = 8192, OWN_STACK_BYTES = 64 * 1024 };
#define STACK_BYTES  (UINT64_C(8) << 20)
/* Behind the program (Makefile): for the kernel's pages, and for the image. */
#define KERNEL_PLACE UINT64_C(0x2100000000)
#define IMAGE_PLACE  UINT64_C(0x2200000000)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17 */
#endif

struct own {
	uint64_t start, end;
	char name[16];
};

static struct {
	char *argv[ARGUMENTS_MAX + 1];
	char text[TEXT_BYTES]; /* of the arguments */
	char *variables[VARIABLES_MAX + 1];
	char block[BLOCK_BYTES];
	uint64_t block_bytes;
	struct own own[16]; /* mappings of this process */
	unsigned own_count;
	const struct image *image;
	const struct region *regions;
	const struct run *runs;
	const char *paths;
	uint64_t image_bytes;
	int fd;
} state;

__attribute__((used, aligned(16))) static char own_stack[OWN_STACK_BYTES];

static uint64_t length(const char *s)
{
	uint64_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* It starts anew. */
static _Noreturn void instead(const char *why)
{
	char line[128] = "the snapshot is not used, the function is initialised again: ";
	uint64_t n = length(line);

	while (*why && n < sizeof line - 1)
		line[n++] = *why++;
	line[n++] = '\n';
	CALL(SYS_write, 2, line, n);
	if (state.fd > 0)
		CALL(SYS_close, state.fd);
	CALL(SYS_execve, state.argv[2], state.argv + 2, state.variables);
	CALL(SYS_exit_group, 127);
	__builtin_unreachable();
}

static void copy_arguments(char **argv)
{
	uint64_t used = 0;

	for (unsigned i = 0; argv[i]; i++) {
		uint64_t n = length(argv[i]) + 1;

		if (i == ARGUMENTS_MAX || used + n > TEXT_BYTES)
			CALL(SYS_exit_group, 2);
		state.argv[i] = state.text + used;
		for (uint64_t k = 0; k < n; k++)
			state.text[used++] = argv[i][k];
	}
}

/* ---- the environment ---- */

static void index_block(void)
{
	unsigned n = 0;

	for (uint64_t at = 0; at < state.block_bytes && n < VARIABLES_MAX;
		at += length(state.block + at) + 1)
		state.variables[n++] = state.block + at;
	state.variables[n] = NULL;
}

static void copy_environment(char **envp)
{
	for (; *envp; envp++) {
		uint64_t n = length(*envp) + 1;

		if (state.block_bytes + n > BLOCK_BYTES - 1)
			return;
		for (uint64_t i = 0; i < n; i++)
			state.block[state.block_bytes++] = (*envp)[i];
	}
}

static void read_gate(void)
{
	for (;;) {
		long n = CALL(SYS_read, GATE, state.block + state.block_bytes,
			BLOCK_BYTES - 1 - state.block_bytes);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		state.block_bytes += (uint64_t)n;
	}
	CALL(SYS_close, GATE);
}

static int has_handler(char **envp)
{
	for (; *envp; envp++)
		if (starts(*envp, "_HANDLER="))
			return 1;
	return 0;
}

/* ---- the image ---- */

static void open_image(void)
{
	struct stat st;
	const struct image *im;
	uint64_t head;
	long at;

	state.fd = (int)CALL(SYS_open, state.argv[1], O_RDONLY | O_CLOEXEC);
	if (state.fd < 0 || CALL(SYS_fstat, state.fd, &st) < 0 || (uint64_t)st.st_size < sizeof *im)
		instead("there is none");
	state.image_bytes = (uint64_t)st.st_size;
	at = CALL(SYS_mmap, IMAGE_PLACE, state.image_bytes, PROT_READ,
		MAP_PRIVATE | MAP_FIXED_NOREPLACE, state.fd, 0);
	if (at != (long)IMAGE_PLACE)
		instead("it cannot be mapped");
	im = state.image = (const struct image *)at;
	if (im->magic != IMAGE_MAGIC || im->region_count > REGIONS_MAX ||
		im->run_count > RUNS_MAX || im->paths_bytes > PATHS_BYTES)
		instead("it is not of this kind");
	state.regions = (const struct region *)(im + 1);
	state.runs = (const struct run *)(state.regions + im->region_count);
	state.paths = (const char *)(state.runs + im->run_count);
	head = (uint64_t)(state.paths - (const char *)im) + im->paths_bytes;
	if (head > im->data_offset || im->data_offset > state.image_bytes)
		instead("it is cut short");
	if (im->pid != (uint32_t)CALL(SYS_getpid, 0))
		instead("the process has another number");
}

/* ---- what is here already ---- */

static void find_own(void)
{
	static char maps[16384];
	long fd = CALL(SYS_open, "/proc/self/maps", O_RDONLY | O_CLOEXEC), n = 0, rc;

	while ((rc = CALL(SYS_read, fd, maps + n, sizeof maps - 1 - (uint64_t)n)) > 0)
		n += rc;
	CALL(SYS_close, fd);
	for (const char *line = maps; *line && state.own_count < 16;) {
		struct own *o = &state.own[state.own_count++];
		const char *end = line;
		unsigned k = 0;

		o->start = take_hex(&line);
		line++;
		o->end = take_hex(&line);
		while (*end && *end != '\n')
			end++;
		for (line = end; line[-1] != ' '; line--)
			;
		for (; line < end && k < sizeof o->name - 1; k++)
			o->name[k] = *line++;
		line = *end ? end + 1 : end;
	}
}

static uint64_t start_of(const struct region *r)
{
	return r->kind == REGION_STACK && r->end - r->start < STACK_BYTES ? r->end - STACK_BYTES
									  : r->start;
}

static int is_kernel_pages(const struct own *o)
{
	return starts(o->name, "[vvar") || starts(o->name, "[vdso]");
}

static void move(struct own *o, uint64_t to)
{
	uint64_t bytes = o->end - o->start;

	if (CALL(SYS_mremap, o->start, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != (long)to)
		instead("the kernel's pages cannot be moved");
	o->start = to;
	o->end = to + bytes;
}

/* What chance has put somewhere goes: the stack that nobody uses, and the kernel's pages. */
static void make_room(void)
{
	uint64_t place = KERNEL_PLACE;

	for (unsigned k = 0; k < state.own_count; k++) {
		struct own *o = &state.own[k];

		if (starts(o->name, "[stack]")) {
			CALL(SYS_munmap, o->start, o->end - o->start);
			o->start = o->end = 0;
		} else if (is_kernel_pages(o)) {
			uint64_t bytes = o->end - o->start;

			move(o, place);
			place += bytes;
		}
	}
}

/* Kernel pages are moved to where they were: the C library remembers the place. */
static void move_kernel_pages(void)
{
	unsigned next = 0;

	for (uint32_t i = 0; i < state.image->region_count; i++) {
		const struct region *r = &state.regions[i];
		struct own *o;

		if (r->kind != REGION_KERNEL)
			continue;
		while (next < state.own_count && !is_kernel_pages(&state.own[next]))
			next++;
		o = &state.own[next++];
		if (next > state.own_count || o->end - o->start != r->end - r->start)
			instead("the kernel's pages are others");
		move(o, r->start);
	}
}

static void check_room(void)
{
	for (uint32_t i = 0; i < state.image->region_count; i++)
		for (unsigned k = 0; k < state.own_count; k++)
			if (start_of(&state.regions[i]) < state.own[k].end &&
				state.own[k].start < state.regions[i].end &&
				!starts(state.own[k].name, "[vsyscall]"))
				instead("its place is taken");
}

/* ---- mapping ---- */

static void map(uint64_t start, uint64_t bytes, unsigned protection, int flags, int fd, uint64_t at)
{
	if (CALL(SYS_mmap, start, bytes, protection, flags | MAP_FIXED, fd, at) != (long)start)
		instead("a part cannot be mapped");
}

static void map_file(const struct region *r)
{
	static const char *path;
	static int fd = -1;
	struct stat st;

	/* Parts of a file follow one another. */
	if (!path || !same(path, state.paths + r->path)) {
		if (fd >= 0)
			CALL(SYS_close, fd);
		path = state.paths + r->path;
		fd = (int)CALL(SYS_open, path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || CALL(SYS_fstat, fd, &st) < 0 || (uint64_t)st.st_size != r->size ||
			(uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec !=
				r->mtime)
			instead("a file is another");
	}
	map(r->start, r->end - r->start, r->protection, r->shared ? MAP_SHARED : MAP_PRIVATE, fd,
		r->offset);
}

/*
 * Every page is mapped and none is copied in advance: a copy of all that are written in the end
 * takes longer than the faults of those that are written now.
 */
static void map_all(void)
{
	for (uint32_t i = 0; i < state.image->region_count; i++) {
		const struct region *r = &state.regions[i];

		if (r->kind == REGION_FILE)
			map_file(r);
		else if (r->kind != REGION_KERNEL)
			map(start_of(r), r->end - start_of(r), r->protection,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	}
	for (uint32_t i = 0; i < state.image->run_count; i++)
		map(state.runs[i].start, state.runs[i].bytes, state.runs[i].protection, MAP_PRIVATE,
			state.fd, state.runs[i].offset);
}

/* ---- going on ---- */

static _Noreturn void go_on(const struct context *c)
{
	__asm__ volatile("ldmxcsr 72(%0)\nfldcw 76(%0)\n"
			 "mov 0(%0),%%rbx\nmov 8(%0),%%rbp\nmov 16(%0),%%r12\nmov 24(%0),%%r13\n"
			 "mov 32(%0),%%r14\nmov 40(%0),%%r15\nmov 48(%0),%%rsp\n"
			 "mov $1,%%eax\njmp *56(%0)\n"
			 :
			 : "c"(c)
			 : "memory");
	__builtin_unreachable();
}

static _Noreturn void become(void)
{
	const struct image *im = state.image;
	struct resumed *resumed = (struct resumed *)im->resumed;
	static struct context context;

	context = im->context;
	/* Refused where the kernel has no such option: then only what ps shows is wrong. */
	CALL(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &im->map, sizeof im->map);
	CALL(SYS_set_robust_list, im->robust_list, im->robust_bytes);
	if (im->rseq) {
		/* What it says of the processor is of then. */
		((uint32_t *)im->rseq)[0] = 0;
		((uint32_t *)im->rseq)[1] = ~0u;
		((uint64_t *)im->rseq)[1] = 0;
		CALL(SYS_rseq, im->rseq, im->rseq_bytes, 0, RSEQ_SIGNATURE);
	}
	resumed->environment = state.block;
	resumed->bytes = state.block_bytes;
	CALL(SYS_arch_prctl, ARCH_SET_FS, context.fs);
	CALL(SYS_munmap, im, state.image_bytes);
	CALL(SYS_close, state.fd);
	go_on(&context);
}

__attribute__((used)) static _Noreturn void start(long *stack)
{
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;

	if (stack[0] < 3)
		CALL(SYS_exit_group, 2);
	copy_arguments(argv);
	if (has_handler(envp))
		copy_environment(envp);
	else
		read_gate();
	index_block();
	open_image();
	find_own();
	make_room();
	check_room();
	move_kernel_pages();
	map_all();
	become();
}

_Static_assert(OWN_STACK_BYTES == 65536, "the number below");
__asm__(".globl _start\n_start:\nxor %ebp,%ebp\nmov %rsp,%rdi\n"
	"movabs $own_stack+65536,%rsp\ncall start\n");
