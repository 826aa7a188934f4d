#pragma once

/// A small site of pages that link to each other, for a client that follows links.
///
/// Which page links to which is fixed, so that a test knows what a crawler has to
/// find: all pages from the first one, some of them in many ways, and a link that
/// leads nowhere.

#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"

#include <cstdint>
#include <vector>

namespace dormouse::samples {

inline constexpr std::uint32_t linked_page_count = 15;

/// The pages that this one (1 to `linked_page_count`) links to, in order, without
/// itself. The last page links to one that is not there, too.
[[nodiscard]] std::vector<std::uint32_t> links_of_page(std::uint32_t number);

/// For the path /pages/<number>: the page, or 404. Its links keep the query of the
/// request, so that a whole walk can be slow.
[[nodiscard]] reply linked_page(const incoming_request& request);

} // namespace dormouse::samples
