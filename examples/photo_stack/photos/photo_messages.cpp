#include "examples/photo_stack/photos/photo_messages.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>
#include <stdexcept>

namespace photo_stack {
namespace {

namespace json = boost::json;

/// Reads a message's fields; whatever it is that is not as expected ends in one error, with the text.
template <class Read>
auto read_object(const std::string& text, Read read) {
    try {
        return read(json::parse(text).as_object());
    } catch (const std::exception& why) {
        throw std::runtime_error("no message of ours (" + std::string(why.what()) + "): " + text.substr(0, 200));
    }
}

template <class T>
T field(const json::object& o, const char* name) {
    return json::value_to<T>(o.at(name));
}

}  // namespace

std::string uploaded_photo::to_text() const {
    return json::serialize(json::value{{"photo", photo}, {"version", version}, {"original", original}, {"owner", owner}, {"title", title}, {"edit", json_of(edit)}});
}

uploaded_photo uploaded_photo::from_text(const std::string& text) {
    return read_object(text, [](const json::object& o) {
        return uploaded_photo{field<std::int64_t>(o, "photo"), field<int>(o, "version"), field<std::string>(o, "original"), field<std::string>(o, "owner"),
                              field<std::string>(o, "title"), edit_from(o.at("edit").as_object())};
    });
}

std::string size_result::to_text() const {
    json::object o{{"photo", photo}, {"version", version}};
    if (fault.empty()) {
        o["size"] = {{"file", size.file}, {"width", size.width}, {"height", size.height}, {"bytes", size.bytes}};
        o["sizes"] = sizes;
    } else {
        o["fault"] = fault;
    }
    if (uneven) o["uneven"] = true;
    return json::serialize(o);
}

size_result size_result::from_text(const std::string& text) {
    return read_object(text, [](const json::object& o) {
        size_result r{.photo = field<std::int64_t>(o, "photo"), .version = field<int>(o, "version"), .uneven = o.contains("uneven")};
        if (o.contains("fault")) {
            r.fault = field<std::string>(o, "fault");
            return r;
        }
        const auto& size = o.at("size").as_object();
        r.size = {field<std::string>(size, "file"), field<int>(size, "width"), field<int>(size, "height"), field<std::int64_t>(size, "bytes")};
        r.sizes = field<std::size_t>(o, "sizes");
        return r;
    });
}

std::string store_repair::to_text() const { return json::serialize(json::value{{"photo", photo}, {"files", json::value_from(files)}, {"version", version}}); }

store_repair store_repair::from_text(const std::string& text) {
    return read_object(text, [](const json::object& o) {
        return store_repair{field<std::int64_t>(o, "photo"), field<std::vector<std::string>>(o, "files"), field<int>(o, "version")};
    });
}

}  // namespace photo_stack
