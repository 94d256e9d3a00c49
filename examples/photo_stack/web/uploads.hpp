// From the files of a request to photos that are there: looked at, kept, and then in the catalog, in this order; so whatever a crash leaves behind is
// files that nobody asks for, and never a photo without its original. Their sizes are made before that, within the request, or are left to the workers:
// then an upload is answered without waiting for them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/photo_files.hpp"
#include "examples/photo_stack/web/accounts.hpp"
#include "examples/photo_stack/web/hot_photos.hpp"
#include "examples/photo_stack/web/photo_catalog.hpp"
#include "examples/photo_stack/web/work_pool.hpp"

namespace photo_web {

struct upload_settings {
    std::filesystem::path drafts;
    bool sizes_by_workers = false;
    std::size_t photo_bytes_max = 20u << 20;
    std::size_t photos_max = 10;            // a request
    std::int64_t pixels_max = 100'000'000;  // of a photo: what is small on the disk may be huge once decoded
};

struct uploaded_file {
    std::string name;
    std::string content;
};

class uploads {
public:
    /// How the answer is told, which the key of a write will be given again.
    using wording = std::function<stored_answer(const std::vector<photo_row>&)>;

    uploads(photo_catalog& catalog, hot_photos& hot, photo_stack::photo_files& files, work_pool& work, upload_settings settings)
        : catalog_(catalog), hot_(hot), files_(files), work_(work), settings_(std::move(settings)) {}

    /// What `tell` says of the new photos, or the answer that `key` was given before. Throws refusal, database_unavailable and overloaded; then nothing
    /// was added, or it is in doubt.
    boost::asio::awaitable<stored_answer> add(account owner, std::vector<uploaded_file> photos, std::optional<std::string> key, wording tell);

    /// Of the photo's files, too. Throws refusal when it is not there, or somebody else's.
    boost::asio::awaitable<void> remove(account owner, std::int64_t photo, std::optional<std::string> key);

private:
    boost::asio::awaitable<std::vector<photo_row>> keep(const account& owner, const std::vector<uploaded_file>& photos);
    boost::asio::awaitable<std::optional<stored_answer>> add_rows(std::vector<photo_row> photos, std::optional<write_key> key, stored_answer answer);
    boost::asio::awaitable<void> forget(std::vector<photo_row> photos);
    photo_row keep_one(std::int64_t id, const uploaded_file& photo);
    void require_within_limits(const std::vector<uploaded_file>& photos) const;

    photo_catalog& catalog_;
    hot_photos& hot_;
    photo_stack::photo_files& files_;
    work_pool& work_;
    upload_settings settings_;
};

}  // namespace photo_web
