#pragma once

/// Which objects there are: a walk over the keys of their rows.

#include "store/store.hpp"

#include <dormouse/runtime/object_list.hpp>

#include <string_view>

namespace dormouse {

/// Throws as `runtime::objects`.
object_page list_objects(store& from, std::string_view binding, const object_list_options& which);

} // namespace dormouse
