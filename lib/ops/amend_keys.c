#include "ops/amend_keys.h"

#include <inttypes.h>

#include "image/image.h"
#include "image/key_slots.h"

#define ITER_MS_DEFAULT 2000
#define UNTRIED "encrypt.keyslot without encrypt.old-secret makes a key slot inactive untried"

int key_change_check(const struct key_change *c, struct err *e)
{
	if (c->has_slot && c->slot >= LUKS_SLOTS)
		return err_set(e, ERR_INVALID, "Invalid slot %" PRIu64 " specified; they are 0 to %u",
			       c->slot, LUKS_SLOTS - 1);
	if (c->activate && !c->new_secret.p)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.new-secret' is required to activate a key slot");
	if (c->activate && c->old_secret.p)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.old-secret' is for key slots that are made inactive");
	if (!c->activate && c->new_secret.p)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.new-secret' is for key slots that are activated");
	if (!c->activate && c->iter_ms)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.iter-time' is for key slots that are activated");
	if (!c->activate && !c->has_slot && !c->old_secret.p)
		return err_set(e, ERR_INVALID,
			       "Which key slots are to be inactive? encrypt.keyslot or "
			       "encrypt.old-secret says it");
	return 0;
}

static unsigned used_nr(const struct key_slots *k)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		nr += k->header.slots[i].enabled;
	return nr;
}

/* The first slot that is not in use; LUKS_SLOTS: all are. */
static unsigned first_free(const struct key_slots *k)
{
	unsigned i = 0;

	while (i < LUKS_SLOTS && k->header.slots[i].enabled)
		i++;
	return i;
}

/* What is to be done, once all of it was found possible. */
struct plan {
	unsigned fill;		 /* LUKS_SLOTS: none */
	unsigned spare;		 /* another slot that has the new key meanwhile; LUKS_SLOTS: none */
	bool erase[LUKS_SLOTS];	 /* before `fill` is filled, if that is among them */
	uint32_t iterations;
};

/* Whoever tries a passphrase on all slots must come to an end, at each point of the change. */
static int iterations_judge(const struct key_slots *k, const struct key_change *c, struct plan *p,
			    struct err *e)
{
	unsigned fill = 1u << p->fill, spare = p->spare < LUKS_SLOTS ? 1u << p->spare : 0;
	uint64_t ms = c->iter_ms ? c->iter_ms : ITER_MS_DEFAULT;

	if (key_slots_iterations(k, ms, &p->iterations, e) < 0)
		return -1;
	if (key_slots_check(k, spare, p->iterations, e) == 0 &&
	    key_slots_check(k, fill | spare, p->iterations, e) == 0)
		return 0;
	return err_hint(e, "A shorter iter-time needs fewer; " UNTRIED);
}

/* Overwriting a slot in use takes two steps, and the new key is elsewhere meanwhile; where there is
 * no room for it, seven other keys are. */
static int activation_judge(const struct key_slots *k, const struct key_change *c, struct plan *p,
			    struct err *e)
{
	p->fill = c->has_slot ? (unsigned)c->slot : first_free(k);
	if (p->fill == LUKS_SLOTS)
		return err_set(e, ERR_INVALID,
			       "Can't add a key slot: all %u are in use; make one inactive first",
			       LUKS_SLOTS);
	if (k->header.slots[p->fill].enabled) {
		if (!c->force)
			return err_set(e, ERR_INVALID,
				       "Refusing to overwrite active key slot %u; --force does it",
				       p->fill);
		p->erase[p->fill] = true;
		p->spare = first_free(k);
	}
	return iterations_judge(k, c, p, e);
}

static int slot_judge(struct key_slots *k, const struct key_change *c, struct plan *p,
		      struct err *e)
{
	unsigned slot = (unsigned)c->slot;
	bool enabled = k->header.slots[slot].enabled, matches = true;

	if (!enabled && !c->force)
		return err_set(e, ERR_INVALID,
			       "Key slot %u is inactive already; --force wipes it once more", slot);
	if (enabled && c->old_secret.p && key_slots_match(k, slot, c->old_secret, &matches, e) < 0)
		return -1;
	if (!matches) {
		err_set(e, ERR_INVALID, "The old secret does not open key slot %u, which stays",
			slot);
		return image_passphrase_hint(c->old_secret, e);
	}
	if (enabled && used_nr(k) == 1 && !c->force)
		return err_set(e, ERR_INVALID,
			       "Refusing to erase the only active key slot %u: nobody could read the "
			       "image any more; --force does it",
			       slot);
	p->erase[slot] = true;
	return 0;
}

static int matching_judge(struct key_slots *k, const struct key_change *c, struct plan *p,
			  struct err *e)
{
	unsigned nr = 0;

	if (key_slots_check(k, 0, 0, e) < 0)
		return err_hint(e, UNTRIED);
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		if (k->header.slots[i].enabled &&
		    key_slots_match(k, i, c->old_secret, &p->erase[i], e) < 0)
			return -1;
		nr += p->erase[i];
	}
	if (!nr) {
		err_set(e, ERR_INVALID, "The old secret opens none of the key slots");
		return image_passphrase_hint(c->old_secret, e);
	}
	if (nr == used_nr(k) && !c->force)
		return err_set(e, ERR_INVALID,
			       "Refusing to erase all active key slots, which the old secret opens: "
			       "nobody could read the image any more; --force does it");
	return 0;
}

static int judge(struct key_slots *k, const struct key_change *c, struct plan *p, struct err *e)
{
	*p = (struct plan){ .fill = LUKS_SLOTS, .spare = LUKS_SLOTS };
	if (c->activate)
		return activation_judge(k, c, p, e);
	return c->has_slot ? slot_judge(k, c, p, e) : matching_judge(k, c, p, e);
}

static int carry_out(struct key_slots *k, const struct key_change *c, const struct plan *p,
		     struct err *e)
{
	if (p->spare < LUKS_SLOTS &&
	    key_slots_fill(k, p->spare, c->new_secret, p->iterations, e) < 0)
		return -1;
	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		if (p->erase[i] && key_slots_erase(k, i, e) < 0)
			return -1;
	if (p->fill < LUKS_SLOTS &&
	    key_slots_fill(k, p->fill, c->new_secret, p->iterations, e) < 0)
		return -1;
	return p->spare < LUKS_SLOTS ? key_slots_erase(k, p->spare, e) : 0;
}

int amend_keys_image_check(struct image *img, const struct key_change *c, struct err *e)
{
	if (image_header(img)->crypt_method != CRYPT_LUKS)
		return err_set(e, ERR_UNSUPPORTED,
			       "only images that are encrypted with LUKS have key slots");
	if (!c->unlock.p)
		return err_set(e, ERR_INVALID,
			       "key slots are changed with a passphrase that opens the image: "
			       "encrypt.key-secret or --passphrase-file must say which");
	return 0;
}

static int run(struct image_writer *w, const struct key_change *c, bool change,
	       const struct watch *watch, struct err *e)
{
	const struct watch quiet = { .stop = watch ? watch->stop : NULL };
	struct key_slots k = { 0 };
	struct plan p;
	int ret = -1;

	/* Slots are written over where the header says that they are. */
	if (image_writer_counts_check(w, &quiet, e) < 0)
		return -1;
	if (key_slots_init(&k, w, c->unlock, watch, e) == 0 && judge(&k, c, &p, e) == 0)
		ret = change ? carry_out(&k, c, &p, e) : 0;
	key_slots_fini(&k);
	return ret;
}

int amend_keys_check(struct image_writer *w, const struct key_change *c,
		     const struct watch *watch, struct err *e)
{
	return run(w, c, false, watch, e);
}

int amend_keys(struct image_writer *w, const struct key_change *c, const struct watch *watch,
	       struct err *e)
{
	return run(w, c, true, watch, e);
}
