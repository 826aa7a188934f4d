#pragma once

/// Where a dying process finds its notes: what `install_crash_notes` needs of the runtimes of the process. A
/// signal handler has no argument of ours, so this is the one place with state of the whole process; without
/// `install_crash_notes` nothing of it is used.

#include "host/death_notes.hpp"

namespace dormouse::crash_pages {

void add(note_page& page) noexcept;
void remove(note_page& page) noexcept;

/// Before a thread runs user code: a stack for the signal handler, for the day its own has overflowed. Does
/// nothing unless `install_crash_notes` was called, or if the thread has one.
void prepare_thread() noexcept;

} // namespace dormouse::crash_pages
