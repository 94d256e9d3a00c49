// From what somebody wants to have done to their photo to a new version of it. An edit is always one of the original, and takes the place of the one before:
// so the edit that does nothing leads back to it. The sizes are made within the request, or are left to the workers; until they are there, what was shown
// before is shown.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "examples/photo_stack/photos/photo_files.hpp"
#include "examples/photo_stack/web/accounts.hpp"
#include "examples/photo_stack/web/hot_photos.hpp"
#include "examples/photo_stack/web/photo_versions.hpp"
#include "examples/photo_stack/web/uploads.hpp"
#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

class edits {
public:
    /// How the answer is told, which the key of a write will be given again.
    using wording = std::function<stored_answer(const photo_row&)>;

    edits(photo_catalog& catalog, photo_versions& versions, hot_photos& hot, photo_stack::photo_files& files, work_pool& work, upload_settings settings)
        : catalog_(catalog), versions_(versions), hot_(hot), files_(files), work_(work), settings_(std::move(settings)) {}

    /// What `tell` says of the photo with its new version, shown or coming; or the answer that `key` was given before. Throws refusal, database_unavailable and
    /// overloaded; then nothing has changed, or it is in doubt.
    boost::asio::awaitable<stored_answer> ask(session owner, std::int64_t photo, photo_stack::photo_edit wanted, std::optional<std::string> key, wording tell);

private:
    boost::asio::awaitable<photo_row> own_photo(const session& owner, std::int64_t photo);
    boost::asio::awaitable<photo_row> with_version(photo_row photo, photo_version version);

    photo_catalog& catalog_;
    photo_versions& versions_;
    hot_photos& hot_;
    photo_stack::photo_files& files_;
    work_pool& work_;
    upload_settings settings_;
};

}  // namespace photo_web
