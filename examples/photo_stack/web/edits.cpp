#include "examples/photo_stack/web/edits.hpp"

#include "examples/photo_stack/photos/version_files.hpp"
#include "examples/photo_stack/web/edit_request.hpp"
#include "examples/photo_stack/web/refusal.hpp"
#include "examples/photo_stack/web/secrets.hpp"

namespace photo_web {

namespace asio = boost::asio;
using photo_stack::photo_edit;

asio::awaitable<stored_answer> edits::ask(session owner, std::int64_t id, photo_edit wanted, std::optional<std::string> key, wording tell) {
    const std::vector<std::int64_t> changed{id};
    const auto user = owner.who.id;
    const auto by = write_key_of(std::move(key), digest_of("edit " + std::to_string(id) + " " + photo_stack::text_of(wanted)));
    if (by) {
        const auto earlier = co_await catalog_.answer_to(user, *by);
        if (earlier) {
            co_await hot_.purge(user, changed);  // whoever was answered first may have died before its purge
            co_return *earlier;
        }
    }
    auto photo = co_await own_photo(owner, id);
    photo_version version{.edit = fitting(wanted, photo.width, photo.height)};
    const auto number = co_await versions_.reserve(user, id);
    if (!number) throw not_found();
    version.number = *number;
    photo = co_await with_version(std::move(photo), std::move(version));
    const auto answer = tell(photo);
    auto added = photo.coming.value_or(photo.shown);
    const auto earlier = co_await versions_.add(user, id, std::move(added), by, answer);
    co_await hot_.purge(user, changed);
    co_return earlier.value_or(answer);
}

asio::awaitable<photo_row> edits::own_photo(const session& owner, std::int64_t id) {
    auto photo = co_await catalog_.find(id, owner.written);
    if (!photo || photo->user_id != owner.who.id) throw not_found();
    if (!photo->fault.empty()) throw refusal(422, "damaged_photo", "The photo is damaged: there is nothing to edit.");
    co_return std::move(*photo);
}

asio::awaitable<photo_row> edits::with_version(photo_row photo, photo_version version) {
    photo.in_work = settings_.sizes_by_workers;
    if (settings_.sizes_by_workers) {
        photo.coming = std::move(version);
        co_return photo;
    }
    auto making = [this, &photo, &version] { return photo_stack::make_version(files_, settings_.drafts, photo.id, photo.original, version.number, version.edit); };
    try {
        auto made = co_await work_.run(std::move(making));
        if (!made) throw not_found();  // it was deleted meanwhile
        version.sizes = std::move(made->sizes);
        version.uneven = made->uneven;
    } catch (const photos::unusable&) {
        throw refusal(422, "damaged_photo", "The photo is damaged: it cannot be read to its end.");
    }
    photo.shown = std::move(version);
    photo.stored_bytes = bytes_of(photo);
    co_return photo;
}

}  // namespace photo_web
