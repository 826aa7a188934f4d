#pragma once

/// So that a crash says where it was (R22).
///
///   int main() {
///     dormouse::install_crash_notes();
///     dormouse::runtime runtime({.directory = "stars"});
///
/// What runs when the process dies is known without this. With it, the signal and a backtrace are known too,
/// and which one of several turns it was that killed the process: the others are no suspects then.

namespace dormouse {

/// Takes SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL, on a stack of its own in the threads that run turns.
/// The handler writes the signal and a backtrace (module and offset, for `addr2line`) into the notes of the
/// runtimes of this process, and then lets the signal do what it would have done without it: whatever handler
/// was there before, or the end of the process and its core. For the whole process; call it once, before the
/// first runtime and behind other handlers of the program's. Further calls do nothing.
void install_crash_notes();

} // namespace dormouse
