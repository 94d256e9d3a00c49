#include "examples/photo_stack/web/uploads.hpp"

#include "examples/photo_stack/photos/draft.hpp"
#include "examples/photo_stack/web/development.hpp"
#include "examples/photo_stack/web/parsing/text_rules.hpp"
#include "examples/photo_stack/web/refusal.hpp"
#include "examples/photo_stack/web/secrets.hpp"

namespace photo_web {

namespace asio = boost::asio;

namespace {

/// Two requests are the same when their files are.
std::string request_digest(const std::vector<uploaded_file>& photos) {
    std::string digests = "upload";
    for (const auto& photo : photos) digests += " " + digest_of(photo.name) + " " + digest_of(photo.content);
    return digest_of(digests);
}

}  // namespace

void uploads::require_within_limits(const std::vector<uploaded_file>& photos) const {
    if (photos.empty()) throw refusal(422, "no_photo", "There is no photo in the upload.");
    if (photos.size() > settings_.photos_max) throw refusal(413, "too_many_photos", "An upload has at most " + std::to_string(settings_.photos_max) + " photos.");
    for (const auto& photo : photos) {
        if (photo.content.empty()) throw refusal(422, "no_photo", "The file is empty.");
        if (photo.content.size() > settings_.photo_bytes_max)
            throw refusal(413, "photo_too_large", "A photo has at most " + std::to_string(settings_.photo_bytes_max >> 20) + " MiB.");
    }
}

asio::awaitable<stored_answer> uploads::add(account owner, std::vector<uploaded_file> photos, std::optional<std::string> key, wording tell) {
    require_within_limits(photos);
    const std::vector<std::int64_t> none;  // of those that anybody has seen; but the newest ones are others now
    const auto by = write_key_of(std::move(key), request_digest(photos));
    if (by) {
        const auto earlier = co_await catalog_.answer_to(owner.id, *by);
        if (earlier) {
            co_await hot_.purge(owner.id, none);  // whoever was answered first may have died before its purge
            co_return *earlier;
        }
    }
    auto rows = co_await keep(owner, photos);
    auto answer = tell(rows);
    const auto earlier = co_await add_rows(rows, by, answer);
    co_await hot_.purge(owner.id, none);
    if (!earlier) co_return answer;
    co_await forget(rows);  // the same request came twice at once, and the other one was first
    co_return *earlier;
}

photo_row uploads::keep_one(std::int64_t id, const uploaded_file& photo) {
    const photo_stack::draft draft(settings_.drafts);
    auto row = develop(photo.content, draft.folder(), settings_.pixels_max);
    if (!settings_.sizes_by_workers) add_sizes(row, draft.folder());
    row.id = id;
    row.title = title_from_file_name(photo.name);
    row.shown.uneven = !files_.keep(id, draft.folder());
    return row;
}

/// On the disk; not in the catalog yet.
asio::awaitable<std::vector<photo_row>> uploads::keep(const account& owner, const std::vector<uploaded_file>& photos) {
    const auto ids = co_await catalog_.reserve(owner.id, photos.size());
    std::vector<photo_row> rows;
    std::exception_ptr failed;
    try {
        for (std::size_t i = 0; i < photos.size(); ++i) {
            auto job = [this, id = ids[i], &photo = photos[i]] { return keep_one(id, photo); };
            rows.push_back(co_await work_.run(std::move(job)));
            rows.back().user_id = owner.id;
            rows.back().user_name = owner.name;
            rows.back().in_work = settings_.sizes_by_workers;
        }
    } catch (...) {
        failed = std::current_exception();
    }
    if (failed) {  // all of an upload or nothing
        co_await forget(std::move(rows));
        std::rethrow_exception(failed);
    }
    co_return rows;
}

asio::awaitable<std::optional<stored_answer>> uploads::add_rows(std::vector<photo_row> photos, std::optional<write_key> key, stored_answer answer) {
    std::exception_ptr failed;
    try {
        co_return co_await catalog_.add(photos, std::move(key), std::move(answer));
    } catch (const database_unavailable& why) {
        if (why.in_doubt) throw;  // the rows may be there: the files stay
        failed = std::current_exception();
    } catch (...) {
        failed = std::current_exception();
    }
    co_await forget(std::move(photos));
    std::rethrow_exception(failed);
}

asio::awaitable<void> uploads::forget(std::vector<photo_row> photos) {
    for (const auto& photo : photos) co_await work_.run([this, id = photo.id] { return files_.remove(id); });
}

asio::awaitable<void> uploads::remove(account owner, std::int64_t photo, std::optional<std::string> key) {
    auto by = write_key_of(std::move(key), digest_of("remove " + std::to_string(photo)));
    if (!co_await catalog_.remove(owner.id, photo, std::move(by))) throw not_found();
    std::vector<std::int64_t> removed{photo};
    co_await hot_.purge(owner.id, std::move(removed));
    co_await work_.run([this, photo] { return files_.remove(photo); });
}

}  // namespace photo_web
