#pragma once

/// What a counted request is answered with, once it is due and nothing breaks it off.

#include "upstream/applications.hpp"
#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"

#include <cstdint>
#include <optional>

namespace dormouse::samples {

/// `hit` numbers the requests for the key from 1; `failure` is the status of one that
/// is to fail. The body of the request may be moved into the answer, which refers to
/// the request until it is sent.
[[nodiscard]] reply work_reply(incoming_request& request, std::uint64_t hit,
                               std::optional<std::uint16_t> failure, applications& behind);

} // namespace dormouse::samples
