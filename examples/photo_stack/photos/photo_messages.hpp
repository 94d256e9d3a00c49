// What the parts of the stack say to each other through the broker, as JSON.
//
//   photos.uploaded   a message for each version of a photo whose sizes are to be made. Subscriptions: workers, notifications
//   photos.results    a message for each size that is there, or for a photo that is damaged. Subscriptions: inbox, and one for each web server
//   photos.repairs    a message for each photo whose files are not in the object stores as they should be. Subscription: storekeeper
//   photos.dead       what could not be handled by anybody, with the reason in its envelope
//
// The topics are made by `stack up`, from topology.toml.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/photo_edit.hpp"
#include "examples/photo_stack/photos/photo_sizes.hpp"

namespace photo_stack {

inline const std::string uploaded_topic = "photos.uploaded";
inline const std::string results_topic = "photos.results";
inline const std::string workers_subscription = "workers";
inline const std::string notifications_subscription = "notifications";
inline const std::string inbox_subscription = "inbox";
inline const std::string repairs_topic = "photos.repairs";
inline const std::string storekeeper_subscription = "storekeeper";

/// Texts that are no such message are std::runtime_error.
struct uploaded_photo {
    std::int64_t photo = 0;
    int version = 1;
    std::string original;  // the name of its file
    std::string owner;
    std::string title;
    photo_edit edit{};  // of this version

    std::string to_text() const;
    static uploaded_photo from_text(const std::string& text);
};

struct size_result {
    std::int64_t photo = 0;
    int version = 1;
    photo_size size{};
    std::size_t sizes = 0;  // of this version, when all are there
    std::string fault{};    // instead of a size: the photo is damaged, and how
    bool uneven = false;    // an object store lacks files of this photo

    std::string to_text() const;
    static size_result from_text(const std::string& text);
};

/// What the object stores have of a photo is to become what its row says: the same files in all of them, or, when it was deleted, none. Or one of its versions
/// is to go, as nobody asks for it any more.
struct store_repair {
    std::int64_t photo = 0;
    std::vector<std::string> files{};  // that edges may have of a photo that was deleted
    int version = 0;                   // that is to go; 0: what the row says

    std::string to_text() const;
    static store_repair from_text(const std::string& text);
};

/// The same text of a row of the table store_repairs, in SQL.
inline const std::string store_repair_row = "json_build_object('photo', photo_id, 'files', files, 'version', version)";

}  // namespace photo_stack
