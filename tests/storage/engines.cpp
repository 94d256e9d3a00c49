#include "tests/storage/engines.hpp"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <ostream>
#include <stdexcept>

#include "broker/storage/memory_store.hpp"

namespace millrace::storage {

rocksdb_options options_for(const std::filesystem::path& directory) {
    rocksdb_options options;
    options.directory = directory;
    options.memtable_bytes = 2u << 20;
    options.block_cache_bytes = 1u << 20;
    options.ballast_bytes = 8u << 20;
    return options;
}

std::unique_ptr<store> open_or_fail(const rocksdb_options& options) {
    auto opened = open_rocksdb_store(options);
    if (!opened) {
        FAIL(to_string(opened.failure()));
    }
    return std::move(opened.value());
}

const char* name_of(engine_kind kind) {
    switch (kind) {
        case engine_kind::memory: return "memory";
        case engine_kind::rocksdb: return "rocksdb";
        case engine_kind::rocksdb_buffered: return "rocksdb, buffered";
    }
    return "?";
}

engine::engine(engine_kind kind) : kind_(kind) {
    if (kind_ == engine_kind::memory) {
        store_ = make_memory_store();
    } else {
        reopen();
    }
}

void engine::reopen() {
    if (!keeps_files()) {
        return;
    }
    store_.reset();
    auto options = options_for(scratch_.path());
    options.level = kind_ == engine_kind::rocksdb ? durability::disk : durability::buffered;
    store_ = open_or_fail(options);
}

core::partition_id partition(std::uint32_t topic, std::uint32_t index) {
    return {core::topic_id{topic}, index};
}

core::entry_bytes bytes_of(const std::string& text) {
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return std::make_shared<const std::vector<std::byte>>(begin, begin + text.size());
}

std::string text_of(const core::entry_bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}

core::append_entry append(core::partition_id where, std::uint64_t first, std::uint64_t last, const std::string& text) {
    return {where, {first}, {last}, bytes_of(text)};
}

core::free_entry free_of(core::partition_id where, std::uint64_t last) {
    return {where, {last}};
}

core::fencing_epoch open_shard(store& opened, core::shard_id shard) {
    auto epoch = opened.open(shard);
    if (!epoch) {
        FAIL(to_string(epoch.failure()));
    }
    return epoch.value();
}

error commit(store& to, core::fencing_epoch epoch, std::vector<core::mutation> group, core::shard_id shard) {
    auto answer = std::make_shared<std::promise<error>>();
    auto answered = answer->get_future();
    to.commit(shard, epoch, std::move(group), [answer](error outcome) { answer->set_value(std::move(outcome)); });
    if (answered.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
        FAIL("a commit was not answered");
    }
    return answered.get();
}

std::ostream& operator<<(std::ostream& out, const text_entry& entry) {
    return out << entry.last << ":" << (entry.text.size() > 40 ? std::to_string(entry.text.size()) + " bytes" : entry.text);
}

std::vector<text_entry> read_texts(store& from, core::partition_id where, std::uint64_t first, std::size_t max_bytes) {
    auto found = from.read(where, {first}, max_bytes);
    if (!found) {
        FAIL(to_string(found.failure()));
    }
    std::vector<text_entry> texts;
    for (const auto& entry : found.value()) {
        texts.push_back({entry.last.value, text_of(entry.bytes)});
    }
    return texts;
}

std::vector<core::row> rows_of(store& from, const std::string& begin, const std::string& end, std::size_t limit) {
    auto found = from.scan({begin, end}, limit);
    if (!found) {
        FAIL(to_string(found.failure()));
    }
    return found.value();
}

}  // namespace millrace::storage
