#pragma once

/// The exchange of the files of a store for those of a fresh one, in steps that can be interrupted anywhere.

#include <dormouse/serialization/error.hpp>

#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

namespace dormouse {

/// In the directory of the store: what a repair works with, and the fresh store.
inline constexpr std::string_view repair_work = "repair.work";
inline constexpr std::string_view repair_fresh = "repair.new";

/// Of a file, or a folder, with which the file system fails.
unexpected<error> repair_failed(const std::filesystem::path& what, const std::error_code& why);

/// Nobody else has the store open while it is held. Errors: `directory_locked`, `directory_unusable`.
expected<std::shared_ptr<void>> hold_store(const std::filesystem::path& directory);

/// The fresh store is whole: its files take the place of the old ones, which go to the folder `kept` of the
/// directory. The store is held. Error: `storage_error`; the next open goes on.
expected<void> exchange_files(const std::filesystem::path& directory, std::string_view kept);

/// Whether such an exchange was begun and not finished; in doubt it was.
bool is_exchange_open(const std::filesystem::path& directory);

/// Goes on with it, if so. The store is held. Error: `storage_error`.
expected<void> go_on_with_exchange(const std::filesystem::path& directory);

} // namespace dormouse
