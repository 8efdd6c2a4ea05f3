#include "io/fault_plan.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	return strncmp(text, word, n) ? NULL : text + n;
}

void fault_plan_parse(struct fault_plan *p, const char *text)
{
	static const struct {
		const char *word;
		enum fault_kind kind;
		enum fault_op op;
	} forms[] = {
		{ "error:read:", FAULT_ERROR, OP_READ },
		{ "error:write:", FAULT_ERROR, OP_WRITE },
		{ "error:flush:", FAULT_ERROR, OP_FLUSH },
		{ "short:write:", FAULT_SHORT, OP_WRITE },
		{ "nospace:", FAULT_NOSPACE, OP_WRITE },
		{ "crash:write:", FAULT_CRASH, OP_WRITE },
		{ "crash:flush:", FAULT_CRASH, OP_FLUSH },
		{ "stop:write:", FAULT_STOP, OP_WRITE },
		{ "stop:flush:", FAULT_STOP, OP_FLUSH },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		const char *number = skip_word(text, forms[i].word);
		char *end;

		if (!number)
			continue;
		p->kind = forms[i].kind;
		p->op = forms[i].op;
		p->nr = strtoull(number, &end, 10);
		p->seed = *end == ':' ? strtoull(end + 1, NULL, 10) : SEED_STAY;
	}
}

enum fault_kind fault_plan_next(struct fault_plan *p, enum fault_op op, uint64_t len)
{
	if (p->kind == FAULT_NONE || p->op != op)
		return FAULT_NONE;
	if (p->kind == FAULT_NOSPACE) {
		if (len > p->nr)
			return FAULT_NOSPACE;
		p->nr -= len;
		return FAULT_NONE;
	}
	return ++p->count == p->nr ? p->kind : FAULT_NONE;
}
