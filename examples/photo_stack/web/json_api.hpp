// The same for programs: JSON, and a token in a header instead of cookies and forms.
//
//   POST   /api/users              {"name": …, "password": …}     201 {"id": 12, "name": …}
//   POST   /api/login              {"name": …, "password": …}     200 {"token": …, "user": {…}}
//   POST   /api/logout                                            204
//   POST   /api/password           {"password": …, "new_…": …}    200 as a log-in: all other tokens are worth nothing then
//   GET    /api/users/12                                          200 {"id": 12, "name": …}
//   GET    /api/users/12/photos?before=ID&limit=N                 200 {"photos": […], "next": ID or null}
//   POST   /api/photos             multipart/form-data            201 {"photos": […]}
//   GET    /api/photos/ID                                         200 {…, "state": "ready", "in_work" or "damaged", "renditions": […]}
//   PUT    /api/photos/ID/edit     {"crop": {…}, "blur": …, …}    200 {…, "edit": {…}, "next_edit": {…} while that is in work}
//   DELETE /api/photos/ID                                         204
//
// A write of photos takes an Idempotency-Key. What is refused is {"error": CODE, "message": …}.
#pragma once

#include "examples/photo_stack/web/accounts.hpp"
#include "examples/photo_stack/web/edits.hpp"
#include "examples/photo_stack/web/hot_photos.hpp"
#include "examples/photo_stack/web/photo_links.hpp"
#include "examples/photo_stack/web/routes.hpp"
#include "examples/photo_stack/web/uploads.hpp"

namespace photo_web {

/// One thread; outlives the routes that it adds.
class json_api {
public:
    json_api(accounts& people, hot_photos& hot, uploads& incoming, edits& editing, const photo_links& links)
        : people_(people), hot_(hot), incoming_(incoming), editing_(editing), links_(links) {}

    void add_to(route_table& routes);

private:
    using answer = boost::asio::awaitable<response>;

    answer sign_up(visit& v);
    answer log_in(visit& v);
    answer log_out(visit& v);
    answer change_password(visit& v);
    answer user(visit& v);
    answer photos_of_user(visit& v);
    answer upload(visit& v);
    answer photo(visit& v);
    answer edit_photo(visit& v);
    answer remove_photo(visit& v);

    answer logged_in(account who);

    accounts& people_;
    hot_photos& hot_;
    uploads& incoming_;
    edits& editing_;
    const photo_links& links_;
};

}  // namespace photo_web
