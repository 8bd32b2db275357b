/*
 * The simulated network: connections in memory. What is written becomes a segment that arrives on
 * the peer's loop after a random delay, in order within a direction; reads and writes are cut at
 * random; a segment may break the connection. Level-triggered readiness is a timer that calls
 * rt_stream_ready() as long as the level holds.
 */
#include "rt/sim_internal.h"

#include <stdio.h>

struct segment {
	struct list link; /* in the receiver's `coming` */
	struct rt_timer timer;
	struct sim_stream *to;
	bool end, reset;
	size_t n;
	char bytes[];
};

struct sim_stream {
	struct rt_stream s;
	struct sim_stream *peer; /* NULL: closed there */
	struct sim *sim;
	uint64_t number;
	char *in; /* [in_pos, in_n) unread */
	size_t in_pos, in_n, in_capacity;
	struct list coming;
	size_t coming_bytes;
	int64_t last_at; /* arrival of the newest segment to us */
	unsigned want;
	bool end, reset, shut;
	struct rt_timer ready;
};

#define SIM_OF(stream) container_of(stream, struct sim_stream, s)

static int64_t delay(struct sim *sim)
{
	return sim->now + sim_between(sim, sim->options.delay_ns_min, sim->options.delay_ns_max);
}

/* --- readiness ------------------------------------------------------------------------------ */

static size_t room_to(const struct sim_stream *to)
{
	size_t used = to->in_n - to->in_pos + to->coming_bytes,
	       window = to->sim->options.window_bytes;

	return used < window ? window - used : 0;
}

static unsigned level(const struct sim_stream *k)
{
	unsigned events = 0;

	if (k->in_n > k->in_pos || k->end || k->reset)
		events |= RT_READABLE;
	if (k->reset || !k->peer || room_to(k->peer))
		events |= RT_WRITABLE;
	return events & k->want;
}

static void look(struct sim_stream *k)
{
	if (k && level(k) && k->ready.deadline == RT_NEVER)
		timer_set_on(k->s.loop, &k->ready, k->sim->now + sim_between(k->sim, 0, 1000));
}

static void on_ready(struct rt_timer *timer)
{
	struct sim_stream *k = container_of(timer, struct sim_stream, ready);
	unsigned events = level(k);

	if (!events)
		return;
	look(k); /* again, if it still holds then; the call below may close the stream */
	rt_stream_ready(&k->s, events);
}

/* --- segments ------------------------------------------------------------------------------- */

static void append(struct sim_stream *k, const char *p, size_t n)
{
	if (k->in_pos == k->in_n)
		k->in_pos = k->in_n = 0;
	if (k->in_n + n > k->in_capacity) {
		k->in_capacity = MAX(k->in_n + n, k->in_capacity * 2);
		k->in = mem_realloc(k->in, k->in_capacity);
	}
	if (n)
		memcpy(k->in + k->in_n, p, n);
	k->in_n += n;
}

static void arrived(struct rt_timer *timer)
{
	struct segment *g = container_of(timer, struct segment, timer);
	struct sim_stream *k = g->to;

	sim_trace(k->sim, 10 + g->end + 2 * g->reset, k->number << 32 | g->n);
	list_remove(&g->link);
	k->coming_bytes -= g->n;
	if (!k->reset) {
		append(k, g->bytes, g->n);
		k->end |= g->end;
		k->reset |= g->reset;
	}
	mem_free(g);
	look(k);
}

static void send_segment(struct sim_stream *to, const char *p, size_t n, bool end, bool reset)
{
	struct segment *g = mem_zero(sizeof *g + n);

	g->to = to;
	g->end = end;
	g->reset = reset;
	g->n = n;
	if (n)
		memcpy(g->bytes, p, n);
	to->last_at = MAX(to->last_at + 1, delay(to->sim));
	to->coming_bytes += n;
	list_push_back(&to->coming, &g->link);
	rt_timer_init(&g->timer, arrived);
	timer_set_on(to->s.loop, &g->timer, to->last_at);
}

/* --- the byte channel ----------------------------------------------------------------------- */

static size_t cut(struct sim *sim, size_t n)
{
	if (sim->options.whole || n < 2 || sim_random(sim, 4))
		return n;
	return 1 + (size_t)sim_random(sim, n - 1);
}

static int sim_try_read(struct rt_stream *s, void *to, size_t n)
{
	struct sim_stream *k = SIM_OF(s);

	if (k->reset)
		return ERR_CLOSED;
	if (k->in_pos == k->in_n)
		return k->end ? ERR_EOF : 0;
	n = cut(k->sim, MIN(n, k->in_n - k->in_pos));
	memcpy(to, k->in + k->in_pos, n);
	k->in_pos += n;
	look(k->peer);
	return (int)n;
}

static int sim_try_write(struct rt_stream *s, const struct iovec *parts, unsigned n)
{
	struct sim_stream *k = SIM_OF(s);
	size_t room, sent = 0;

	if (k->reset || k->shut || !k->peer)
		return ERR_CLOSED;
	room = room_to(k->peer);
	for (unsigned i = 0; i < n && room; i++) {
		size_t part = MIN(parts[i].iov_len, room), taken = part ? cut(k->sim, part) : 0;

		if (taken)
			send_segment(k->peer, parts[i].iov_base, taken, false, false);
		sent += taken;
		room -= taken;
		if (taken < parts[i].iov_len)
			break;
	}
	if (sent && sim_random(k->sim, 1000000) < k->sim->options.resets_per_million) {
		send_segment(k->peer, NULL, 0, false, true);
		send_segment(k, NULL, 0, false, true);
	}
	return (int)sent;
}

static int sim_shutdown(struct rt_stream *s)
{
	struct sim_stream *k = SIM_OF(s);

	if (k->reset)
		return ERR_CLOSED;
	if (!k->shut && k->peer)
		send_segment(k->peer, NULL, 0, true, false);
	k->shut = true;
	return 0;
}

static void sim_want(struct rt_stream *s, unsigned events)
{
	SIM_OF(s)->want = events;
	look(SIM_OF(s));
}

static void sim_abort(struct rt_stream *s)
{
	struct sim_stream *k = SIM_OF(s);

	k->reset = true;
	if (k->peer)
		send_segment(k->peer, NULL, 0, false, true);
}

static void sim_close(struct rt_stream *s)
{
	struct sim_stream *k = SIM_OF(s);
	struct list *at;

	/* As TCP: unread bytes make it a reset. */
	if (k->peer && !k->reset) {
		bool unread = k->in_n > k->in_pos || !list_empty(&k->coming);

		if (unread)
			send_segment(k->peer, NULL, 0, false, true);
		else if (!k->shut)
			send_segment(k->peer, NULL, 0, true, false);
	}
	if (k->peer) {
		k->peer->peer = NULL;
		look(k->peer);
	}
	while ((at = list_pop_front(&k->coming))) {
		struct segment *g = list_entry(at, struct segment, link);

		timer_stop_on(k->s.loop, &g->timer);
		mem_free(g);
	}
	timer_stop_on(k->s.loop, &k->ready);
	stream_done(s);
	mem_free(k->in);
	mem_free(k);
}

static const struct rt_stream_ops sim_ops = {
	.try_read = sim_try_read,
	.try_write = sim_try_write,
	.shutdown = sim_shutdown,
	.want = sim_want,
	.abort = sim_abort,
	.close = sim_close,
};

static struct sim_stream *sim_stream_new(struct sim *sim, struct rt_loop *l)
{
	struct sim_stream *k = mem_new(struct sim_stream);

	k->sim = sim;
	k->number = ++sim->streams;
	list_init(&k->coming);
	rt_timer_init(&k->ready, on_ready);
	stream_init(&k->s, &sim_ops, l);
	k->s.local_known = true;
	return k;
}

int sim_pair(struct rt_stream **ret_a, struct rt_stream **ret_b)
{
	struct rt_loop *l = loop_here();
	struct sim_stream *a = sim_stream_new(l->rt->backend_data, l),
			  *b = sim_stream_new(l->rt->backend_data, l);

	a->peer = b;
	b->peer = a;
	*ret_a = &a->s;
	*ret_b = &b->s;
	return 0;
}

/* --- listening and connecting --------------------------------------------------------------- */

struct sim_listener {
	struct list link; /* sim->listeners */
	struct rt_listener *listener;
	char name[128];
	size_t name_n;
};

static struct sim_listener *find(struct sim *sim, str name)
{
	list_for_each(at, &sim->listeners) {
		struct sim_listener *k = list_entry(at, struct sim_listener, link);

		if (str_eq(str_of(k->name, k->name_n), name))
			return k;
	}
	return NULL;
}

int sim_listen_open(const struct rt_listen_options *o, struct rt_listener *l)
{
	struct sim *sim = l->rt->backend_data;
	char text[RT_ADDRESS_TEXT];
	struct sim_listener *k;
	str name = o->address;

	if (o->fd)
		return ERR_UNSUPPORTED;
	if (rt_address_parse(name, &l->address) == 0) {
		if (!l->address.port)
			l->address.port = (uint16_t)(20000 + ++sim->port_last);
		name = rt_address_text(&l->address, text);
	}
	if (!name.n || name.n > sizeof k->name)
		return ERR_RANGE;
	if (find(sim, name))
		return ERR_EXISTS;
	k = mem_new(struct sim_listener);
	k->listener = l;
	memcpy(k->name, name.p, name.n);
	k->name_n = name.n;
	list_push_back(&sim->listeners, &k->link);
	return 0;
}

int sim_listen_start(struct rt_listener_part *part)
{
	part->backend = part;
	return 0;
}

void sim_listen_stop(struct rt_listener_part *part)
{
	part->backend = NULL;
}

void sim_listen_close(struct rt_listener *l)
{
	struct sim *sim = l->rt->backend_data;

	list_for_each_safe(at, &sim->listeners) {
		struct sim_listener *k = list_entry(at, struct sim_listener, link);

		if (k->listener == l) {
			list_remove(&k->link);
			mem_free(k);
		}
	}
}

struct arrival {
	struct rt_timer timer;
	struct sim_stream *stream;
	char name[128];
	size_t name_n;
	unsigned part;
};

static void connection_arrived(struct rt_timer *timer)
{
	struct arrival *a = container_of(timer, struct arrival, timer);
	struct sim_stream *k = a->stream;
	struct sim_listener *l = find(k->sim, str_of(a->name, a->name_n));
	bool open = l && a->part < l->listener->part_count && l->listener->parts[a->part].backend &&
		    l->listener->parts[a->part].loop == k->s.loop;

	mem_free(a);
	if (open) {
		stream_accepted(&k->s, &l->listener->options);
	} else {
		rt_stream_abort(&k->s);
		rt_stream_close(&k->s);
	}
}

void sim_net_done(struct rt *rt)
{
	for (unsigned i = 0; i < rt->loop_count; i++)
		for (size_t h = 0; h < rt->loops[i].heap_count; h++) {
			struct rt_timer *t = rt->loops[i].heap[h].timer;

			if (t && t->fn == connection_arrived)
				mem_free(container_of(t, struct arrival, timer));
		}
}

int sim_connect(str address, int64_t deadline, struct rt_stream **ret_stream)
{
	struct rt_loop *here = loop_here();
	struct sim *sim = here->rt->backend_data;
	int64_t at = delay(sim);
	struct sim_listener *l;
	struct sim_stream *a, *b;
	struct arrival *arrival;

	TRY(rt_sleep_until(MIN(at, deadline)));
	if (at > deadline)
		return ERR_TIMEOUT;
	l = find(sim, address);
	if (!l)
		return ERR_REFUSED;
	arrival = mem_new(struct arrival);
	arrival->part = (unsigned)sim_random(sim, l->listener->part_count);
	arrival->name_n = l->name_n;
	memcpy(arrival->name, l->name, l->name_n);
	a = sim_stream_new(sim, here);
	b = sim_stream_new(sim, l->listener->parts[arrival->part].loop);
	a->peer = b;
	b->peer = a;
	a->s.peer = b->s.local = l->listener->address;
	b->s.peer = a->s.local = (struct rt_address){.family = RT_IPV4,
		.ip = {127, 0, 0, 1},
		.port = (uint16_t)(40000 + a->number % 20000)};
	arrival->stream = b;
	rt_timer_init(&arrival->timer, connection_arrived);
	b->last_at = delay(sim);
	timer_set_on(b->s.loop, &arrival->timer, b->last_at);
	*ret_stream = &a->s;
	return 0;
}

/* Of literal addresses only: there is no directory of names. */
int sim_resolve(
	str host, uint16_t port, int64_t deadline, struct rt_address *ret_addresses, unsigned max)
{
	char text[RT_ADDRESS_TEXT];
	int n = snprintf(text, sizeof text, str_find(host, ':') < 0 ? "%.*s:%u" : "[%.*s]:%u",
		STR_ARG(host), port);

	(void)deadline;
	if (rt_cancelled())
		return ERR_CANCELLED;
	if (!max || n < 0 || (size_t)n >= sizeof text ||
		rt_address_parse(str_of(text, (size_t)n), ret_addresses) < 0)
		return ERR_NOT_FOUND;
	return 1;
}
