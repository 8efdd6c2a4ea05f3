#pragma once
/* QCOW2_FAULT names one fault, counted over all files of the process:
 *
 *   error:OP:N        the Nth OP (read, write, flush) fails
 *   short:write:N     the Nth write stores half of its bytes, then fails
 *   nospace:BYTES     writes that would store more than BYTES in sum fail
 *   crash:OP:N        the process ends instead of the Nth OP (write, flush); what was
 *                     written so far stays
 *   crash:OP:N:SEED   the same, but what was written to a file since its last flush
 *                     lands, vanishes or tears (fault_undo.h). SEED 0: all of it vanishes;
 *                     1: all of it stays; others: a mix, the same each time
 *
 *   stop:OP:N         the process gets SIGTERM before the Nth OP (write, flush), which is done
 *
 * Zeroing, reserving and changing the length count as writes. Discarding does not; a crash
 * treats what it changed like what was written. */
#include <stdbool.h>
#include <stdint.h>

enum fault_kind { FAULT_NONE, FAULT_ERROR, FAULT_SHORT, FAULT_NOSPACE, FAULT_CRASH, FAULT_STOP };
/* OP_OTHER is never counted. */
enum fault_op { OP_READ, OP_WRITE, OP_FLUSH, OP_OTHER };

/* The seeds that leave nothing to chance. */
enum { SEED_VANISH = 0, SEED_STAY = 1 };

struct fault_plan {
	enum fault_kind kind;
	enum fault_op op;
	uint64_t nr;	/* which one, or the bytes left */
	uint64_t seed;	/* of a crash */
	uint64_t count; /* operations so far */
};

/* A text that is none of the forms plans nothing. */
void fault_plan_parse(struct fault_plan *p, const char *text);
/* What happens to an operation that is about to begin. */
enum fault_kind fault_plan_next(struct fault_plan *p, enum fault_op op, uint64_t len);

/* Whether there will be a crash that does not leave files as they are. */
static inline bool fault_plan_loses(const struct fault_plan *p)
{
	return p->kind == FAULT_CRASH && p->seed != SEED_STAY;
}
