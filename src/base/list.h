/*
 * Intrusive doubly linked lists. A head and a detached link both point to themselves.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/attr.h"

#include <stdbool.h>

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_(struct list *prev, struct list *next, struct list *l)
{
	l->prev = prev;
	l->next = next;
	prev->next = next->prev = l;
}

static inline void list_push_back(struct list *head, struct list *l)
{
	list_insert_(head->prev, head, l);
}

static inline void list_push_front(struct list *head, struct list *l)
{
	list_insert_(head, head->next, l);
}

/* Takes it out of whatever list it is in; harmless when detached. */
static inline void list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* The first link, taken out; NULL when empty. */
static inline struct list *list_pop_front(struct list *head)
{
	struct list *l = head->next;

	if (l == head)
		return NULL;
	list_remove(l);
	return l;
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)

#define list_for_each(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)
/* `at` may be taken out in the body. */
#define list_for_each_safe(at, head)                                              \
	for (struct list *at = (head)->next, *at##_next = at->next; at != (head); \
		at = at##_next, at##_next = at->next)

#endif
