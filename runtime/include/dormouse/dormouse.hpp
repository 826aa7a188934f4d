#pragma once

/// Everything a program that writes and runs durable objects needs. For plain CAF actors that talk to objects
/// there is <dormouse/runtime/caf.hpp> besides.

#include <dormouse/actors/durable_object.hpp>
#include <dormouse/actors/methods.hpp>
#include <dormouse/actors/object_ref.hpp>
#include <dormouse/actors/proxy_fetch.hpp>
#include <dormouse/runtime/clock.hpp>
#include <dormouse/runtime/crash_notes.hpp>
#include <dormouse/runtime/dead_letters.hpp>
#include <dormouse/runtime/fetch_observer.hpp>
#include <dormouse/runtime/runtime.hpp>
#include <dormouse/runtime/stats.hpp>
#include <dormouse/runtime/tasks.hpp>
#include <dormouse/serialization/url.hpp>

#include <nlohmann/json.hpp>
