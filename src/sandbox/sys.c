/*
 * Descriptor helpers of the sandbox. No allocation, no locks: safe between clone and exec.
 */
#include "sandbox/sys.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

enum { FDS_MAX = 32 };

int sys_write_file(int dir, const char *path, const char *text)
{
	cleanup(sys_close_p) int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n)
		return errno ? -errno : -EIO;
	return 0;
}

int sys_read_file(int dir, const char *path, char *to, size_t n)
{
	cleanup(sys_close_p) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	size_t at = 0;
	ssize_t got = 0;

	if (fd < 0)
		return -errno;
	while (at < n - 1 && (got = read(fd, to + at, n - 1 - at)) > 0)
		at += (size_t)got;
	if (got < 0)
		return -errno;
	to[at] = 0;
	return (int)at;
}

char *sys_number(char *to, uint64_t value)
{
	char digits[20];
	unsigned n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	while (n)
		*to++ = digits[--n];
	*to = 0;
	return to;
}

int sys_send(int fd, const void *bytes, size_t n, const int *fds, unsigned fd_count, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec part = {(void *)(uintptr_t)bytes, n};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	check(fd_count <= FDS_MAX);
	if (fd_count) {
		struct cmsghdr *head = &control.align;

		memset(&control, 0, sizeof control);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
	}
	do
		sent = sendmsg(fd, &message, flags | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

ssize_t sys_receive(
	int fd, void *to, size_t n, int *fds, unsigned fd_max, unsigned *ret_fd_count, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec part = {to, n};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control};
	unsigned got = 0, over = 0;
	ssize_t bytes;

	*ret_fd_count = 0;
	do
		bytes = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
	while (bytes < 0 && errno == EINTR);
	if (bytes < 0)
		return -errno;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head;
		head = CMSG_NXTHDR(&message, head)) {
		unsigned count;

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		count = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned i = 0; i < count; i++) {
			int one;

			memcpy(&one, CMSG_DATA(head) + i * sizeof(int), sizeof one);
			if (got < fd_max) {
				fds[got++] = one;
			} else {
				close(one);
				over++;
			}
		}
	}
	if (over || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (unsigned i = 0; i < got; i++)
			close(fds[i]);
		return -EMSGSIZE;
	}
	*ret_fd_count = got;
	return bytes;
}
