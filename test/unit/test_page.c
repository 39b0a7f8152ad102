/* SPDX-License-Identifier: MIT */
/*
 * The clock page: what is published, and that no reader sees half of it. Its
 * fields are plain, guarded by the version only, and readers copy them by the
 * guest's own code: a data race by design, so this is not for ThreadSanitizer.
 */
#include "unit.h"
#include <pthread.h>
#include <string.h>
#include "clock/page.h"
#include "clock/random.h"
#include "smp/x86.h"
#include "test/guest/check.h"

static _Alignas(4096) uint8_t memory[3 * 4096];

static struct pvclock_vcpu_time_info *page_at(size_t offset)
{
	return (void *)(memory + offset);
}

/* Any line, all of it told by one number, so that a mixture of two is seen. */
static struct line line_of(uint64_t n)
{
	struct random r = { n };

	return (struct line){
		.tsc = random_next(&r), .ref_ns = n << 8,
		.mul = (uint32_t)random_next(&r) | 1u << 31, .shift = (int8_t)(random_below(&r, 64) - 32),
	};
}

static bool same(const struct pvclock_vcpu_time_info *p, const struct line *l)
{
	return p->tsc_timestamp == l->tsc && p->system_time == l->ref_ns && p->tsc_to_system_mul == l->mul &&
	       p->tsc_shift == l->shift && !p->flags;
}

/* At each place that 4-byte alignment allows, over the ends of cache lines and pages. */
static void test_fields(void **state)
{
	(void)state;
	for (size_t offset = 4096 - 128; offset <= 4096 + 64; offset += 4) {
		struct pvclock_vcpu_time_info *page = page_at(offset), copy;
		struct line l = line_of(offset);

		memset(memory, 0xa5, sizeof(memory));
		page->version = 6;
		page_publish(page, &l, 0);
		assert_int_equal(page->version, 8);
		assert_true(same(page, &l));
		page_copy(&copy, page);
		assert_true(same(&copy, &l));
		assert_int_equal(page->pad0, 0);
		for (size_t i = 0; i < sizeof(memory); i++)
			if ((i < offset || i >= offset + sizeof(*page)) && memory[i] != 0xa5)
				fail_msg("page at %zu: byte %zu was written", offset, i);
		page_publish(page, &l, PVCLOCK_TSC_STABLE);
		assert_int_equal(page->flags, PVCLOCK_TSC_STABLE);
	}
}

/* By 2 from an even version; a torn one is repaired, and grows too; over the end of its range. */
static void test_version(void **state)
{
	static const uint32_t from_to[][2] = {
		{ 0, 2 }, { 2, 4 }, { 1000, 1002 }, { 0xfffffffc, 0xfffffffe }, { 0xfffffffe, 0 },
		{ 1, 4 }, { 7, 10 }, { 0xfffffffd, 0 }, { 0xffffffff, 2 },
	};
	struct line l = line_of(1);

	(void)state;
	for (size_t i = 0; i < sizeof(from_to) / sizeof(from_to[0]); i++) {
		page_at(0)->version = from_to[i][0];
		page_publish(page_at(0), &l, 0);
		assert_int_equal(page_at(0)->version, from_to[i][1]);
	}
}

/* What the guest computes from it is what the host computes. */
static void test_same_ns(void **state)
{
	struct random r = { 1 };
	struct line l;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t tsc = random_next(&r) >> 1;

		line_start(&l, tsc, random_next(&r) >> 2, 1000 + (uint32_t)random_below(&r, 5000000));
		page_publish(page_at(20), &l, 0);
		tsc += random_below(&r, 1ull << 44);
		assert_true(page_ns(page_at(20), tsc) == line_read(&l, tsc));
	}
}

/* ... and of the wall clock's, which is as little aligned. */
static void test_wall(void **state)
{
	static const uint32_t versions[][2] = { { 0, 2 }, { 1, 4 }, { 6, 8 }, { UINT32_MAX - 1, 0 } };

	(void)state;
	for (size_t offset = 4096 - 64; offset <= 4096; offset += 4)
		for (unsigned i = 0; i < 4; i++) {
			struct pvclock_wall_clock *wall = (void *)(memory + offset);

			memset(memory, 0xa5, sizeof(memory));
			wall->version = versions[i][0];
			page_publish_wall(wall, 4294967295999999999ull);
			assert_int_equal(wall->version, versions[i][1]);
			assert_true(wall->sec == UINT32_MAX && wall->nsec == 999999999);
			for (size_t at = 0; at < sizeof(memory); at++)
				if ((at < offset || at >= offset + sizeof(*wall)) && memory[at] != 0xa5)
					fail_msg("wall clock at %zu: byte %zu was written", offset, at);
		}
}

enum { READERS = 3, PUBLISHED = 100000, READS = 1000 };

struct reader {
	struct pvclock_vcpu_time_info *page;
	const _Atomic bool *over;
	_Atomic uint64_t reads;
	uint64_t mixed, backwards;
};

/* The reader's rule of pvclock.h, without the TSC. */
static void *reader_main(void *arg)
{
	struct reader *r = arg;
	uint64_t last = 0;

	while (!atomic_load_explicit(r->over, memory_order_acquire)) {
		struct pvclock_vcpu_time_info copy;

		page_copy(&copy, r->page);
		if (copy.version & 1 || page_version(r->page) != copy.version)
			continue;
		struct line l = line_of(copy.system_time >> 8);
		atomic_fetch_add_explicit(&r->reads, 1, memory_order_relaxed);
		r->mixed += !same(&copy, &l);
		r->backwards += copy.system_time < last;
		last = copy.system_time;
	}
	return NULL;
}

static void test_threads(void **state)
{
	/* In one cache line; over the end of one; over the end of a page: version here, fields there. */
	static const size_t places[] = { 0, 64 - 12, 4096 - 4, 4096 - 20 };

	(void)state;
	for (size_t place = 0; place < sizeof(places) / sizeof(places[0]); place++) {
		_Atomic bool over = false;
		struct pvclock_vcpu_time_info *page = page_at(places[place]);
		struct reader reader[READERS];
		pthread_t thread[READERS];
		struct line l = line_of(0);
		uint64_t n = 0;

		memset(memory, 0, sizeof(memory));
		page_publish(page, &l, 0);
		for (unsigned i = 0; i < READERS; i++) {
			reader[i] = (struct reader){ .page = page, .over = &over };
			assert_int_equal(pthread_create(&thread[i], NULL, reader_main, &reader[i]), 0);
		}
		/* Until all of them have read often, however the host deals out its processors. */
		for (bool enough = false; n < PUBLISHED || !enough;) {
			l = line_of(++n);
			page_publish(page, &l, 0);
			for (uint64_t pause = n % 64; pause; pause--)
				cpu_relax();
			enough = true;
			for (unsigned i = 0; i < READERS && n >= PUBLISHED; i++)
				enough = enough && atomic_load_explicit(&reader[i].reads, memory_order_relaxed) > READS;
		}
		atomic_store_explicit(&over, true, memory_order_release);
		for (unsigned i = 0; i < READERS; i++) {
			pthread_join(thread[i], NULL);
			if (reader[i].mixed || reader[i].backwards)
				fail_msg("page at %zu: of %llu reads %llu were mixed, %llu went back", places[place],
					 (unsigned long long)atomic_load(&reader[i].reads), (unsigned long long)reader[i].mixed,
					 (unsigned long long)reader[i].backwards);
		}
		assert_int_equal(page->version, (uint32_t)(2 + 2 * n));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_version),
		cmocka_unit_test(test_same_ns), cmocka_unit_test(test_wall),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
