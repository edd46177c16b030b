#include "fields.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"
#include "tandem/wide.h"

#define TIME_LIMIT_NS  INT64_C(4600000000000000000) /* +-146 years: differences of two times fit */
#define DIGITS_MAX     30                           /* of a decimal number; times 10^9 they fit 128 bits */
#define EXPONENT_LIMIT 400                          /* of a decimal number; doubles end at 308 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the text of a quoted field out of its quotes, in place, and ends it. Returns what is behind the
 * closing quote, NULL when there is none. */
static char *unquote(char *field)
{
    char *out = field;
    for (char *at = field + 1; *at; at++) {
        if (*at == '"' && at[1] == '"') {
            at++;
        } else if (*at == '"') {
            *out = '\0';
            return at + 1;
        }
        *out++ = *at;
    }
    return NULL;
}

/* Ends a field without quotes at a place, blanks before that taken off. */
static void end_plain(const char *field, char *end)
{
    while (end > field && is_blank(end[-1]))
        end--;
    *end = '\0';
}

bool fields_split(struct fields *fields, const char *line, char delimiter, struct error *error)
{
    size_t bytes = strlen(line) + 1;
    fields->buffer = mem_grow(fields->buffer, &fields->capacity, bytes, 1);
    memcpy(fields->buffer, line, bytes);
    fields->count = 0;
    char *end = fields->buffer + bytes - 1;
    for (char *at = fields->buffer;; at++) {
        while (is_blank(*at) && *at != delimiter)
            at++;
        if (fields->count == fields->at_capacity)
            fields->at = mem_grow(fields->at, &fields->at_capacity, fields->count + 1, sizeof *fields->at);
        char *field = at;
        fields->at[fields->count++] = field;
        bool quoted = *field == '"';
        if (quoted) {
            at = unquote(field);
            if (!at)
                return error_set(
                    error, "a quoted field has no closing quote (line breaks inside of quotes are not read)");
            while (is_blank(*at) && *at != delimiter)
                at++;
        } else {
            char *next = memchr(at, delimiter, (size_t)(end - at));
            at = next ? next : end;
        }
        char found = *at;
        if (!quoted)
            end_plain(field, at);
        if (!found)
            return true;
        if (found != delimiter)
            return error_set(error, "expected '%c' after a closing quote, found '%c'", delimiter, found);
    }
}

void fields_clear(struct fields *fields)
{
    mem_free(fields->at);
    mem_free(fields->buffer);
    *fields = (struct fields){0};
}

/* A whole number from least to most; what it is, for the error. */
static bool whole_number(const char *field, const char *column, const char *what, int64_t least, int64_t most,
                         int64_t *number, struct error *error)
{
    int64_t value = 0;
    const char *at = field;
    for (; is_digit(*at) && value <= most; at++)
        value = value * 10 + (*at - '0');
    bool whole = at > field;
    if (whole && *at == '.')
        for (at++; *at == '0';)
            at++;
    if (!whole || *at || value < least || value > most)
        return error_set(error, "%s: expected a %s from %lld to %lld, found '%s'", column, what,
                         (long long)least, (long long)most, field);
    *number = value;
    return true;
}

bool fields_tokens(const char *field, const char *column, int64_t least, int64_t *tokens, struct error *error)
{
    return whole_number(field, column, "whole number of tokens", least, WORKLOAD_TOKENS_MAX, tokens, error);
}

bool fields_priority(const char *field, const char *column, int64_t *priority, struct error *error)
{
    return whole_number(field, column, "class of priority", 0, WORKLOAD_PRIORITY_MAX, priority, error);
}

bool fields_session(const char *field, const char *column, int64_t *session, struct error *error)
{
    return whole_number(field, column, "number of a session", 0, WORKLOAD_SESSION_MAX, session, error);
}

/* --- time stamps
 * --------------------------------------------------------------------------------------------- */

/* Exactly count digits; -1 when there are others. Moves *at behind them. */
static int read_digits(const char **at, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (!is_digit(**at))
            return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool read_char(const char **at, char expected)
{
    bool found = **at == expected;
    *at += found;
    return found;
}

/* Days from 1970-01-01 in the Gregorian calendar. Years are counted from March, so that leap days come last.
 */
static int64_t days_from_date(int year, int month, int day)
{
    int y = month > 2 ? year : year - 1;
    int days_before_month = (153 * ((month + 9) % 12) + 2) / 5;
    return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + days_before_month + day - 1 - 719468;
}

static int days_in_month(int year, int month)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2)
        return leap ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

static bool read_date(const char **at, int64_t *days)
{
    int year = read_digits(at, 4);
    if (year < 0 || !read_char(at, '-'))
        return false;
    int month = read_digits(at, 2);
    if (month < 1 || month > 12 || !read_char(at, '-'))
        return false;
    int day = read_digits(at, 2);
    if (year < 1900 || year > 2099 || day < 1 || day > days_in_month(year, month))
        return false;
    *days = days_from_date(year, month, day);
    return true;
}

static bool read_clock(const char **at, int64_t *seconds)
{
    int hour = read_digits(at, 2);
    if (hour < 0 || hour > 23 || !read_char(at, ':'))
        return false;
    int minute = read_digits(at, 2);
    if (minute < 0 || minute > 59 || !read_char(at, ':'))
        return false;
    int second = read_digits(at, 2);
    if (second < 0 || second > 59)
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

static bool read_fraction(const char **at, int64_t *ns)
{
    static const int32_t units[] = {1000000000, 100000000, 10000000, 1000000, 100000,
                                    10000,      1000,      100,      10,      1};
    *ns = 0;
    if (!read_char(at, '.'))
        return true;
    size_t digits = 0;
    for (; is_digit(**at) && digits < 10; (*at)++, digits++)
        *ns = *ns * 10 + (**at - '0');
    if (digits < 1 || digits > 9)
        return false;
    *ns *= units[digits];
    return true;
}

static bool read_offset(const char **at, int64_t *seconds)
{
    *seconds = 0;
    if (!**at || read_char(at, 'Z'))
        return true;
    int sign = **at == '-' ? -1 : 1;
    if (!read_char(at, '-') && !read_char(at, '+'))
        return false;
    int hour = read_digits(at, 2);
    (void)read_char(at, ':');
    int minute = hour < 0 ? -1 : read_digits(at, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return false;
    *seconds = sign * (hour * 3600 + minute * 60);
    return true;
}

bool fields_timestamp(const char *field, const char *column, int64_t *time_ns, struct error *error)
{
    const char *at = field;
    int64_t days = 0, seconds = 0, ns = 0, offset = 0;
    if (!read_date(&at, &days) || !(read_char(&at, ' ') || read_char(&at, 'T')) ||
        !read_clock(&at, &seconds) || !read_fraction(&at, &ns) || !read_offset(&at, &offset) || *at)
        return error_set(error, "%s: expected a time stamp such as 2023-11-16 18:15:46.6805900, found '%s'",
                         column, field);
    *time_ns = (days * 86400 + seconds - offset) * SIMTIME_SECOND_NS + ns;
    return true;
}

/* --- decimal numbers
 * ----------------------------------------------------------------------------------------- */

/* digits x 10^exponent, as written. */
struct decimal {
    bool negative;
    wide_t digits;
    int exponent;
};

static bool read_decimal(const char *at, struct decimal *decimal)
{
    *decimal = (struct decimal){.negative = *at == '-'};
    if (*at == '-' || *at == '+')
        at++;
    bool any = false, point = false;
    int significant = 0;
    for (; is_digit(*at) || (*at == '.' && !point); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        any = true;
        decimal->exponent -= point;
        decimal->digits = decimal->digits * 10 + (unsigned)(*at - '0');
        significant += decimal->digits > 0;
        if (significant > DIGITS_MAX || decimal->exponent < -EXPONENT_LIMIT)
            return false;
    }
    if (any && (*at == 'e' || *at == 'E')) {
        char *end = NULL;
        long exponent = strtol(at + 1, &end, 10);
        if (end == at + 1 || is_blank(at[1]) || exponent < -EXPONENT_LIMIT || exponent > EXPONENT_LIMIT)
            return false;
        decimal->exponent += (int)exponent;
        at = end;
    }
    return any && !*at;
}

/* digits x 10^exponent as a whole number, rounded half to even; false beyond the limit. */
static bool round_decimal(wide_t digits, int exponent, int64_t *whole)
{
    wide_t divisor = 1;
    for (; exponent > 0 && digits > 0; exponent--) {
        if (digits > (wide_t)TIME_LIMIT_NS)
            return false;
        digits *= 10;
    }
    for (; exponent < 0; exponent++) {
        if (divisor > 2 * digits) { /* below one half */
            *whole = 0;
            return true;
        }
        divisor *= 10;
    }
    wide_t quotient = digits / divisor, rest = digits % divisor;
    if (rest > divisor - rest || (rest == divisor - rest && (quotient & 1) != 0))
        quotient++;
    if (quotient > (wide_t)TIME_LIMIT_NS)
        return false;
    *whole = (int64_t)quotient;
    return true;
}

bool fields_time(const char *field, const char *column, int exponent, int64_t *time_ns, struct error *error)
{
    struct decimal decimal;
    int64_t whole = 0;
    if (!read_decimal(field, &decimal))
        return error_set(error, "%s: expected a number (at most %d digits), found '%s'", column, DIGITS_MAX,
                         field);
    if (!round_decimal(decimal.digits, decimal.exponent + exponent, &whole))
        return error_set(error, "%s: '%s' is beyond 146 years (is the time unit right?)", column, field);
    *time_ns = decimal.negative ? -whole : whole;
    return true;
}
