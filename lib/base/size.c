#include "base/size.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/overflow.h"

#define LARGEST ((uint64_t)INT64_MAX)

/* Shift of a suffix letter, -1 for anything else. */
static int suffix_shift(char c)
{
	static const char letters[] = "bkmgtpe";
	const char *at = c ? strchr(letters, tolower((unsigned char)c)) : NULL;

	return at ? 10 * (int)(at - letters) : -1;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* Reads digits of `base` at *text; saturates, and says so in *large. Returns their number. */
static size_t read_digits(const char **text, unsigned base, uint64_t *value, bool *large)
{
	size_t nr = 0;

	*value = 0;
	for (; digit_value(**text) < (int)base; (*text)++, nr++)
		if (ovf_mul(*value, base, value) ||
		    ovf_add(*value, (uint64_t)digit_value(**text), value)) {
			*large = true;
			*value = 0;
		}
	return nr;
}

/* The fraction as a 64-bit binary one: .5 is 2^63. Nineteen digits are more than 2^64 can
 * tell apart; later ones are read and ignored. */
static uint64_t read_fraction(const char **text)
{
	unsigned __int128 numerator = 0, denominator = 1;

	for (size_t nr = 0; isdigit((unsigned char)**text); (*text)++, nr++)
		if (nr < 19) {
			numerator = numerator * 10 + (unsigned)(**text - '0');
			denominator *= 10;
		}
	return (uint64_t)((numerator << 64) / denominator);
}

static enum size_result scale(uint64_t whole, uint64_t fraction, int shift, bool large,
			      uint64_t *out)
{
	unsigned __int128 value =
		(((unsigned __int128)whole << 64 | fraction) >> (64 - shift)) * (shift > 0);
	uint64_t rest = shift ? fraction << shift : 0;

	if (large || whole > LARGEST >> shift)
		return SIZE_OUT_OF_RANGE;
	if (!shift)
		value = whole;
	value += rest >> 63; /* half a byte and more goes up */
	if (value > LARGEST)
		return SIZE_OUT_OF_RANGE;
	*out = (uint64_t)value;
	return SIZE_OK;
}

enum size_result size_parse(const char *text, uint64_t *out)
{
	uint64_t whole, fraction = 0;
	bool large = false, hex = false, dot = false;
	int shift = 0;

	while (isspace((unsigned char)*text))
		text++;
	if (*text == '+')
		text++;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		hex = true;
		text += 2;
	}
	if (!read_digits(&text, hex ? 16 : 10, &whole, &large))
		return SIZE_MALFORMED;
	if (*text == '.' && !hex) {
		dot = true;
		text++;
		fraction = read_fraction(&text);
	}
	if (*text) {
		shift = suffix_shift(*text++);
		if (shift < 0 || *text)
			return SIZE_MALFORMED;
	} else {
		hex = false; /* no suffix, nothing to deprecate */
	}
	if (dot && !shift && fraction)
		return SIZE_MALFORMED; /* part of a byte */
	enum size_result result = scale(whole, fraction, shift, large, out);
	return result == SIZE_OK && hex ? SIZE_HEX_SUFFIX : result;
}

/* Three significant digits of value / 2^shift, without trailing zeros. */
char *size_render(uint64_t bytes, char buf[SIZE_TEXT_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned unit = 0;
	int length, decimals;

	while (unit < 6 && (unit ? (bytes >> (10 * unit)) : bytes) >= 1000)
		unit++;
	if (!unit) {
		snprintf(buf, SIZE_TEXT_MAX, "%u B", (unsigned)bytes);
		return buf;
	}
	/* thousandths and more: value scaled by 10^decimals, rounded to nearest, ties to even */
	unsigned shift = 10 * unit;
	unsigned __int128 one = (unsigned __int128)1 << shift;

	decimals = bytes >= 100 * one ? 0 : bytes >= 10 * one ? 1 : bytes >= one ? 2 : 3;
	unsigned __int128 scaled = bytes;
	unsigned power = 1;
	for (int i = 0; i < decimals; i++)
		power *= 10;
	scaled *= power;
	unsigned __int128 rest = scaled & (one - 1);
	uint64_t digits = (uint64_t)(scaled >> shift);

	if (rest > one / 2 || (rest == one / 2 && (digits & 1)))
		digits++;
	while (decimals && digits % 10 == 0) {
		digits /= 10;
		power /= 10;
		decimals--;
	}
	length = snprintf(buf, SIZE_TEXT_MAX, "%llu", (unsigned long long)(digits / power));
	if (decimals)
		length += snprintf(buf + length, (size_t)(SIZE_TEXT_MAX - length), ".%0*llu",
				   decimals, (unsigned long long)(digits % power));
	snprintf(buf + length, (size_t)(SIZE_TEXT_MAX - length), " %s", units[unit]);
	return buf;
}
