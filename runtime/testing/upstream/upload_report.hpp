#pragma once

/// What arrived at /upload, as JSON: sizes and checksums, part by part if it was a form.

#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"

namespace dormouse::samples {

/// 400 when it says it is multipart/form-data and is not.
[[nodiscard]] reply upload_report(const incoming_request& request);

} // namespace dormouse::samples
