#include "cmd/check_wishes.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/common.h"

static int attach_parse(char *text, struct repair_attach *out, struct err *e)
{
	char *value = strchr(text, '=');
	uint64_t idx;

	if (!value)
		return err_set(e, ERR_INVALID, "--attach wants INDEX=OFFSET, not '%s'", text);
	*value++ = '\0';
	if (count_from_text("attach index", text, 0, UINT32_MAX, &idx, e) < 0 ||
	    size_from_text("attach offset", value, &out->host, e) < 0)
		return -1;
	out->l1_idx = (uint32_t)idx;
	return 0;
}

static int attach_take(struct check_wishes *w, struct err *e)
{
	size_t nr = 0;

	while (w->attach_words && w->attach_words[nr])
		nr++;
	w->attach = nr ? calloc(nr, sizeof *w->attach) : NULL;
	if (nr && !w->attach)
		return err_nomem(e);
	for (; w->attach_nr < nr; w->attach_nr++)
		if (attach_parse(w->attach_words[w->attach_nr], &w->attach[w->attach_nr], e) < 0)
			return -1;
	return 0;
}

void check_wishes_spell(struct check_wishes *w, int argc, const char **argv)
{
	static const char spelled[] = "--reattach=";

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strncmp(argv[i], spelled, sizeof spelled - 1) != 0)
			continue;
		if (strcmp(argv[i] + sizeof spelled - 1, "guess") != 0)
			w->reattach_word = argv[i] + sizeof spelled - 1;
		argv[i] = "--reattach-guess";
	}
}

int check_wishes_take(const struct cmd *c, struct check_wishes *w, const char *repair,
		      struct err *e)
{
	bool all = repair && strcmp(repair, "all") == 0;

	if (w->reattach_word)
		cmd_usage(c, "--reattach has no value or guess, not '%s'", w->reattach_word);
	if (w->free_suspects && !repair)
		cmd_usage(c, "--free-suspects needs --repair");
	if (w->drop_snapshots && !all)
		cmd_usage(c, "--drop-snapshots needs --repair=all");
	if ((w->reattach_sure || w->reattach_guess || w->attach_words) && !all)
		cmd_usage(c, "--reattach and --attach need --repair=all");
	w->reattach = w->reattach_guess ? REATTACH_GUESS
		      : w->reattach_sure ? REATTACH_SURE
					 : REATTACH_NONE;
	return attach_take(w, e);
}

bool check_wishes_any(const struct check_wishes *w)
{
	return w->deep || w->free_suspects || w->drop_snapshots || w->reattach_sure ||
	       w->reattach_guess || w->reattach_word || w->attach_words;
}

void check_wishes_fini(struct check_wishes *w)
{
	free(w->attach);
}
