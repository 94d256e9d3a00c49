#include "examples/photo_stack/photos/object_stores.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <fstream>
#include <iterator>
#include <set>

namespace photo_stack {

namespace fs = std::filesystem;
using boost::beast::http::verb;

namespace {

/// Of a store's answer, connecting included. The largest photo needs a quarter of a second.
constexpr auto deadline = std::chrono::seconds{2};

std::string folder_of(std::int64_t photo) { return "/media/" + std::to_string(photo) + "/"; }

/// What we name files: nothing that would mean something in a path.
bool is_file_name(const std::string& text) {
    return !text.empty() && text[0] != '.' &&
           std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; });
}

std::string content_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(in), {}};
    if (!in) throw std::runtime_error("cannot read " + file.string());
    return content;
}

peer_unavailable unexpected(const http_peer& store, const std::string& request, unsigned status) {
    return peer_unavailable(store.address() + " answers " + request + " with " + std::to_string(status));
}

void put(http_peer& store, std::int64_t photo, const std::string& file_name, const std::string& content) {
    const auto target = path_of_photo_file(photo, file_name);
    const auto status = store.ask(verb::put, target, content).status;
    if (status != 201 && status != 204) throw unexpected(store, "PUT " + target, status);
}

std::optional<std::string> get(http_peer& store, const std::string& target) {
    auto answer = store.ask(verb::get, target);
    if (answer.status == 404) return std::nullopt;
    if (answer.status != 200) throw unexpected(store, "GET " + target, answer.status);
    return std::move(answer.body);
}

std::set<std::string> list(http_peer& store, std::int64_t photo) {
    std::set<std::string> names;
    const auto listing = get(store, folder_of(photo));
    if (!listing) return names;
    const auto told = boost::json::parse(*listing);
    for (const auto& entry : told.as_array()) names.insert(boost::json::value_to<std::string>(entry.at("name")));
    return names;
}

}  // namespace

std::string path_of_photo_file(std::int64_t photo, const std::string& file_name) { return folder_of(photo) + file_name; }

object_stores::object_stores(const std::vector<std::string>& addresses) {
    if (addresses.empty()) throw std::invalid_argument("there is no object store");
    for (const auto& address : addresses) stores_.emplace_back(address, deadline);
}

bool object_stores::keep(std::int64_t photo, const fs::path& draft) {
    std::vector<std::pair<std::string, std::string>> files;
    for (const auto& entry : fs::directory_iterator(draft)) files.emplace_back(entry.path().filename().string(), content_of(entry.path()));
    std::size_t have = 0;
    std::string fault;
    for (auto& store : stores_) {
        try {
            for (const auto& [name, content] : files) put(store, photo, name, content);
            ++have;
        } catch (const peer_unavailable& why) {
            fault = why.what();
        }
    }
    if (have == 0) throw photos_unavailable("no object store takes photo " + std::to_string(photo) + ": " + fault);
    if (have < stores_.size()) spdlog::warn("photo {} is in {} of {} object stores: {}", photo, have, stores_.size(), fault);
    return have == stores_.size();
}

std::optional<std::string> object_stores::read(std::int64_t photo, const std::string& file_name) {
    if (!is_file_name(file_name)) return std::nullopt;
    const auto target = path_of_photo_file(photo, file_name);
    std::string fault;
    for (auto& store : stores_) {
        try {
            if (auto content = get(store, target)) return content;
        } catch (const peer_unavailable& why) {
            fault = why.what();
        }
    }
    if (!fault.empty()) throw photos_unavailable("cannot read " + target + ": " + fault);
    return std::nullopt;
}

bool object_stores::remove(std::int64_t photo) { return remove_at(folder_of(photo)); }

bool object_stores::remove(std::int64_t photo, const std::string& file_name) { return remove_at(path_of_photo_file(photo, file_name)); }

bool object_stores::remove_at(const std::string& target) {
    bool everywhere = true;
    for (auto& store : stores_) {
        try {
            const auto status = store.ask(verb::delete_, target).status;
            if (status != 204 && status != 404) throw unexpected(store, "DELETE " + target, status);
        } catch (const peer_unavailable& why) {
            spdlog::warn("{} stays in an object store for now: {}", target, why.what());
            everywhere = false;
        }
    }
    return everywhere;
}

void object_stores::check() {
    std::string fault;
    for (auto& store : stores_) {
        try {
            if (get(store, "/healthz")) return;
        } catch (const peer_unavailable& why) {
            fault = why.what();
        }
    }
    throw photos_unavailable("no object store answers: " + fault);
}

void object_stores::even_out(std::int64_t photo) {
    try {
        std::vector<std::set<std::string>> there;
        for (auto& store : stores_) there.push_back(list(store, photo));
        for (std::size_t from = 0; from < stores_.size(); ++from)
            for (const auto& name : there[from])
                for (std::size_t to = 0; to < stores_.size(); ++to) {
                    if (!there[to].insert(name).second) continue;
                    if (const auto content = get(stores_[from], path_of_photo_file(photo, name))) put(stores_[to], photo, name, *content);
                }
    } catch (const peer_unavailable& why) {
        throw photos_unavailable(why.what());
    }
}

}  // namespace photo_stack
