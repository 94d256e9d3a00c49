// The pages that people see; everything works without scripts.
#pragma once

#include "examples/photo_stack/web/accounts.hpp"
#include "examples/photo_stack/web/edits.hpp"
#include "examples/photo_stack/web/hot_photos.hpp"
#include "examples/photo_stack/web/page_frame.hpp"
#include "examples/photo_stack/web/photo_links.hpp"
#include "examples/photo_stack/web/routes.hpp"
#include "examples/photo_stack/web/uploads.hpp"

namespace photo_web {

/// One thread; outlives the routes that it adds.
class html_pages {
public:
    html_pages(accounts& people, hot_photos& hot, uploads& incoming, edits& editing, const photo_links& links, const page_frame& frame, bool secure_cookies)
        : people_(people), hot_(hot), incoming_(incoming), editing_(editing), links_(links), frame_(frame), secure_cookies_(secure_cookies) {}

    void add_to(route_table& routes);

private:
    using answer = boost::asio::awaitable<response>;

    answer home(visit& v);
    answer show_sign_up(visit& v);
    answer sign_up(visit& v);
    answer show_log_in(visit& v);
    answer log_in(visit& v);
    answer log_out(visit& v);
    answer show_password(visit& v);
    answer change_password(visit& v);
    answer gallery(visit& v);
    answer upload(visit& v);
    answer profile(visit& v);
    answer photo(visit& v);
    answer edit_photo(visit& v);
    answer remove_photo(visit& v);

    response credentials_page(visit& v, const std::string& action, const std::string& fault) const;
    answer gallery_page(visit& v, std::optional<std::int64_t> before, std::string fault);
    answer photo_page(visit& v, std::int64_t id, std::string fault);
    boost::asio::awaitable<void> begin_session(visit& v, account who);

    accounts& people_;
    hot_photos& hot_;
    uploads& incoming_;
    edits& editing_;
    const photo_links& links_;
    const page_frame& frame_;
    bool secure_cookies_;
};

}  // namespace photo_web
