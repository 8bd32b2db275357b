/*
 * Tar archives (ustar) made byte by byte, for tests of layers and images.
 */
#ifndef TEST_SANDBOX_TAR_H
#define TEST_SANDBOX_TAR_H

#include "base/buf.h"

#include <stdio.h>

/* `type`: '0' file, '1' hard link, '2' link, '3' character device, '5' folder, '6' pipe. */
static inline void tar_add(
	struct buf *to, const char *name, char type, unsigned mode, str data, const char *link)
{
	char head[512] = {0};
	static const char zeros[512];
	unsigned sum = 0;

	snprintf(head, 100, "%s", name);
	snprintf(head + 100, 8, "%07o", mode);
	snprintf(head + 108, 8, "%07o", 0u);
	snprintf(head + 116, 8, "%07o", 0u);
	snprintf(head + 124, 12, "%011o", (unsigned)data.n);
	snprintf(head + 136, 12, "%011o", 0u);
	head[156] = type;
	if (link)
		snprintf(head + 157, 100, "%s", link);
	snprintf(head + 257, 8, "ustar");
	head[263] = head[264] = '0';
	memset(head + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(head); i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	buf_put(to, str_of(head, sizeof(head)));
	buf_put(to, data);
	if (data.n % 512)
		buf_put(to, str_of(zeros, 512 - data.n % 512));
}

static inline void tar_file(struct buf *to, const char *name, unsigned mode, str data)
{
	tar_add(to, name, '0', mode, data, NULL);
}

static inline void tar_end(struct buf *to)
{
	static const char zeros[1024];

	buf_put(to, str_of(zeros, sizeof(zeros)));
}

#endif
