#include "cmd/amend_keys.h"

#include <string.h>

#include "cmd/secrets.h"
#include "cmd/sizes.h"

static int take_state(const char *word, struct key_change *c, struct err *e)
{
	if (!word)
		return err_set(e, ERR_INVALID, "Parameter 'encrypt.state' is required");
	c->activate = strcmp(word, "active") == 0;
	if (!c->activate && strcmp(word, "inactive") != 0)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.state' does not accept value '%s'", word);
	return 0;
}

static int take_numbers(const char *slot, const char *iter_time, struct key_change *c,
			struct err *e)
{
	uint64_t ms = 0;

	if (slot && count_from_text("encrypt.keyslot", slot, 0, LUKS_SLOTS - 1, &c->slot, e) < 0)
		return -1;
	c->has_slot = slot != NULL;
	if (iter_time &&
	    count_from_text("encrypt.iter-time", iter_time, 1, UINT32_MAX, &ms, e) < 0)
		return -1;
	c->iter_ms = ms;
	return 0;
}

int amend_keys_take(struct option_list *l, struct key_change *c, bool *given, struct err *e)
{
	const char *state = option_list_take(l, "encrypt.state", NULL);
	const char *new_secret = option_list_take(l, "encrypt.new-secret", NULL);
	const char *old_secret = option_list_take(l, "encrypt.old-secret", NULL);
	const char *slot = option_list_take(l, "encrypt.keyslot", NULL);
	const char *iter_time = option_list_take(l, "encrypt.iter-time", NULL);

	*c = (struct key_change){ 0 };
	*given = state || new_secret || old_secret || slot || iter_time;
	if (!*given)
		return 0;
	if (take_state(state, c, e) < 0 || take_numbers(slot, iter_time, c, e) < 0 ||
	    (new_secret && secrets_use(new_secret, &c->new_secret, e) < 0) ||
	    (old_secret && secrets_use(old_secret, &c->old_secret, e) < 0))
		return -1;
	if (key_change_check(c, e) < 0)
		return -1;
	if (c->activate)
		secrets_warn_new(c->new_secret);
	return 0;
}
