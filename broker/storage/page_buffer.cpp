#include "broker/storage/page_buffer.hpp"

#include <algorithm>
#include <utility>

namespace millrace::storage {
namespace {

constexpr std::size_t free_max = 3;                 // while one is written, another is filled, and a third where one log follows another
constexpr std::size_t kept_bytes_max = 16u << 20;  // what a stall has made larger is not kept

}  // namespace

void page_buffer::append(std::string_view bytes) {
    const auto at = size_;
    grow(at + bytes.size());
    std::copy(bytes.begin(), bytes.end(), data() + at);
}

void page_buffer::fill_up(std::size_t piece) {
    const auto at = size_;
    grow((at + piece - 1) / piece * piece);
    std::fill(data() + at, data() + size_, '\0');
}

void page_buffer::grow(std::size_t size) {
    const auto pages = (size + page_bytes - 1) / page_bytes;
    if (pages > pages_.size()) {
        pages_.resize(std::max(pages, 2 * pages_.size()));
    }
    size_ = size;
}

page_buffer page_buffers::take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) {
        return {};
    }
    auto buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
}

void page_buffers::give_back(page_buffer buffer) {
    buffer.clear();
    std::lock_guard lock(mutex_);
    if (free_.size() < free_max && buffer.capacity() <= kept_bytes_max) {
        free_.push_back(std::move(buffer));
    }
}

}  // namespace millrace::storage
