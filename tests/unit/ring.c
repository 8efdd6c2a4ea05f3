#include "check.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "work/ring.h"

/* One kind of job for all tests: adds numbers in `work`, chains them in `settle`, so that any
 * change of order shows in the result. `fail` names the stages that fail, and where. */
enum { FILL, WORK, SETTLE, FINISH, STAGES };

#define NOWHERE UINT64_MAX
#define JOBS_MAX 300

struct job {
	uint64_t nr, sum;
	bool busy;
};

struct bench {
	uint64_t jobs, fail[STAGES];
	bool finish_all;
	uint64_t filled, settled, chain;
	uint64_t finished[JOBS_MAX], times[JOBS_MAX];
	atomic_int fills, settles, working;
	atomic_bool wrong;
};

static int failed(struct bench *b, int stage, uint64_t nr, struct err *e)
{
	if (b->fail[stage] != nr)
		return 0;
	return err_set(e, ERR_IO, "stage %d of job %llu", stage, (unsigned long long)nr);
}

static void spin(uint64_t nr)
{
	for (volatile uint64_t i = 0; i < nr * 7919 % 3000; i++)
		;
}

static int fill(void *ctx, void *slot, struct err *e)
{
	struct bench *b = ctx;
	struct job *j = slot;

	b->wrong |= atomic_fetch_add(&b->fills, 1) != 0 || j->busy;
	atomic_fetch_sub(&b->fills, 1);
	if (b->filled == b->jobs)
		return 0;
	if (failed(b, FILL, b->filled, e) < 0)
		return -1;
	*j = (struct job){ .nr = b->filled++, .busy = true };
	return 1;
}

static int work(void *ctx, void *worker, void *slot, struct err *e)
{
	struct bench *b = ctx;
	struct job *j = slot;

	b->wrong |= atomic_fetch_add((atomic_int *)worker, 1) != 0;
	spin(j->nr);
	j->sum = j->nr * j->nr + 1;
	atomic_fetch_sub((atomic_int *)worker, 1);
	return failed(b, WORK, j->nr, e);
}

static int settle(void *ctx, void *slot, struct err *e)
{
	struct bench *b = ctx;
	struct job *j = slot;

	b->wrong |= atomic_fetch_add(&b->settles, 1) != 0 || j->nr != b->settled;
	b->wrong |= j->sum != j->nr * j->nr + 1;
	atomic_fetch_sub(&b->settles, 1);
	if (failed(b, SETTLE, j->nr, e) < 0)
		return -1;
	b->settled++;
	b->chain = b->chain * 31 + j->sum;
	j->busy = b->finish_all || j->nr % 3;
	return j->busy;
}

static int finish(void *ctx, void *worker, void *slot, struct err *e)
{
	struct bench *b = ctx;
	struct job *j = slot;

	b->wrong |= atomic_fetch_add((atomic_int *)worker, 1) != 0;
	spin(j->nr + 1);
	b->finished[j->nr] = j->sum;
	b->times[j->nr]++;
	j->busy = false;
	atomic_fetch_sub((atomic_int *)worker, 1);
	return failed(b, FINISH, j->nr, e);
}

static int bench_run(struct bench *b, unsigned workers, unsigned slots, struct err *e)
{
	static const struct ring_ops ops = { fill, work, settle, finish };
	struct job job[128] = { 0 };
	atomic_int state[64] = { 0 };
	void *slot[128], *worker[64];

	for (unsigned i = 0; i < slots; i++)
		slot[i] = &job[i];
	for (unsigned i = 0; i < workers; i++)
		worker[i] = &state[i];
	return ring_run(&(struct ring_config){ .workers = workers, .slots = slots, .slot = slot,
					       .worker = worker, .ctx = b, .ops = &ops },
			e);
}

static struct bench bench_of(uint64_t jobs)
{
	return (struct bench){ .jobs = jobs,
			       .fail = { NOWHERE, NOWHERE, NOWHERE, NOWHERE } };
}

static uint64_t chain_of(uint64_t jobs)
{
	uint64_t chain = 0;

	for (uint64_t i = 0; i < jobs; i++)
		chain = chain * 31 + i * i + 1;
	return chain;
}

static bool goes_well(uint64_t jobs, unsigned workers, unsigned slots, bool finish_all)
{
	struct bench b = bench_of(jobs);
	struct err e = ERR_INIT;

	b.finish_all = finish_all;
	if (bench_run(&b, workers, slots, &e) < 0 || err_is(&e) || b.wrong)
		return false;
	for (uint64_t i = 0; i < jobs; i++) {
		bool due = finish_all || i % 3;

		if (b.times[i] != due || b.finished[i] != (due ? i * i + 1 : 0))
			return false;
	}
	return b.settled == jobs && b.chain == chain_of(jobs);
}

static void every_job_passes_its_stages_in_order_whatever_the_workers(void)
{
	for (unsigned workers = 1; workers <= 8; workers++) {
		CHECK(goes_well(JOBS_MAX, workers, workers, false));
		CHECK(goes_well(JOBS_MAX, workers, workers * 2, true));
		CHECK(goes_well(JOBS_MAX, workers, workers * 3 + 1, false));
	}
	CHECK(goes_well(JOBS_MAX, 64, 128, true));
}

static void few_jobs_or_none_are_fine(void)
{
	for (unsigned workers = 1; workers <= 8; workers++)
		for (uint64_t jobs = 0; jobs <= 9; jobs++) {
			CHECK(goes_well(jobs, workers, workers * 2, false));
			CHECK(goes_well(jobs, workers, 8, true));
		}
}

static bool stage_failure_is(int stage, uint64_t nr, const struct err *e)
{
	char want[64];

	snprintf(want, sizeof want, "stage %d of job %llu", stage, (unsigned long long)nr);
	return e->code == ERR_IO && !strcmp(e->text, want);
}

/* Everything below the failing job is complete, nothing above is settled. */
static bool stops_at(int stage, uint64_t nr, unsigned workers)
{
	struct bench b = bench_of(40);
	struct err e = ERR_INIT;

	b.finish_all = true;
	b.fail[stage] = nr;
	if (bench_run(&b, workers, workers * 2, &e) != -1 || b.wrong)
		return false;
	for (uint64_t i = 0; i < nr; i++)
		if (b.times[i] != 1)
			return false;
	if (stage == FINISH ? b.settled <= nr : b.settled != nr)
		return false;
	return stage_failure_is(stage, nr, &e);
}

static void a_failure_in_any_stage_stops_at_its_job(void)
{
	for (unsigned workers = 1; workers <= 4; workers++)
		for (int stage = FILL; stage < STAGES; stage++)
			for (uint64_t nr = 0; nr < 40; nr++)
				CHECK(stops_at(stage, nr, workers));
}

static void the_lowest_failure_is_reported(void)
{
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct bench b = bench_of(60);
		struct err e = ERR_INIT;
		uint64_t low = NOWHERE;
		int where = 0;

		for (int stage = FILL; stage < STAGES; stage++) {
			b.fail[stage] = (seed * 13 + (uint64_t)stage * 7 * seed) % 60;
			if (b.fail[stage] < low) {
				low = b.fail[stage];
				where = stage;
			}
		}
		b.finish_all = true;
		CHECK(bench_run(&b, 1 + seed % 8, 16, &e) == -1 && !b.wrong);
		CHECK(stage_failure_is(where, low, &e));
	}
}

static int work_plain(void *ctx, void *worker, void *slot, struct err *e)
{
	((struct job *)slot)->sum = ((struct job *)slot)->nr * ((struct job *)slot)->nr + 1;
	return worker ? -1 : 0;
}

static int settle_plain(void *ctx, void *slot, struct err *e)
{
	struct bench *b = ctx;

	((struct job *)slot)->busy = false;
	b->settled++;
	return 0;
}

static void finish_and_worker_state_may_be_absent(void)
{
	static const struct ring_ops ops = { fill, work_plain, settle_plain, NULL };

	for (unsigned workers = 1; workers <= 4; workers++) {
		struct bench b = bench_of(100);
		struct job job[4] = { 0 };
		void *slot[4] = { &job[0], &job[1], &job[2], &job[3] };
		struct ring_config c = { .workers = workers, .slots = 4, .slot = slot,
					 .ctx = &b, .ops = &ops };
		struct err e = ERR_INIT;

		CHECK(ring_run(&c, &e) == 0 && b.settled == 100 && !b.wrong);
	}
}

/* The worker of job 0 waits until every other slot has been worked on: that can only end if
 * the others go on meanwhile. */
static int work_gathers(void *ctx, void *worker, void *slot, struct err *e)
{
	struct bench *b = ctx;

	if (((struct job *)slot)->nr)
		atomic_fetch_add(&b->working, 1);
	else
		while (atomic_load(&b->working) < 7)
			sched_yield();
	return 0;
}

static void nobody_idles_while_a_slot_is_ready(void)
{
	static const struct ring_ops ops = { fill, work_gathers, settle_plain, NULL };
	struct bench b = bench_of(50);
	struct job job[8] = { 0 };
	void *slot[8];
	struct err e = ERR_INIT;

	for (int i = 0; i < 8; i++)
		slot[i] = &job[i];
	struct ring_config c = { .workers = 2, .slots = 8, .slot = slot, .ctx = &b, .ops = &ops };
	CHECK(ring_run(&c, &e) == 0 && b.settled == 50);
}

static void there_is_a_processor(void)
{
	CHECK(ring_processors() >= 1);
}

int main(void)
{
	RUN(every_job_passes_its_stages_in_order_whatever_the_workers);
	RUN(few_jobs_or_none_are_fine);
	RUN(a_failure_in_any_stage_stops_at_its_job);
	RUN(the_lowest_failure_is_reported);
	RUN(finish_and_worker_state_may_be_absent);
	RUN(nobody_idles_while_a_slot_is_ready);
	RUN(there_is_a_processor);
	return DONE();
}
