/* Warnings and progress on stderr. Only rank 0 should be loud: others call log_silence(). All local. */
#ifndef TANDEM_LOG_H
#define TANDEM_LOG_H

#include "tandem/text.h"

/* Prints "tandem: warning: ..." unless silenced. */
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "tandem: ..." unless silenced. */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "tandem: error: ...", silenced or not, and ends the process with exit code 1: for what goes wrong
 * around a run in progress, where no caller could do anything about it (mpirun then ends the other ranks). */
_Noreturn void log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From now on warnings are lines of a text (without prefix, the same one once) and not printed, silenced or
 * not; NULL: as before. Borrowed. */
void log_capture(struct text *warnings);

/* Nothing is printed by this process from now on. */
void log_silence(void);

#endif
