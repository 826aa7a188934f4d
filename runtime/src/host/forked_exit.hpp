#pragma once

/// The end of a forked child.
///
/// RocksDB has a timer of static duration with a thread of its own. A child that was forked has the timer and
/// not its thread, and `exit()` waits there for ever. So a child leaves `exit()` just before: what was
/// registered behind the first runtime of its parent has been destroyed by then, and the streams are flushed.

namespace dormouse {

/// To be called when the store is open.
void leave_forked_children();

} // namespace dormouse
