#include "broker/storage/page_buffer.hpp"

#include <algorithm>

namespace millrace::storage {

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

void page_buffer::keep_last(std::size_t count, std::size_t end) {
    std::copy_n(data() + (end - count), count, data());  // never beyond where it comes from
    size_ = count;
}

void page_buffer::grow(std::size_t size) {
    const auto pages = (size + page_bytes - 1) / page_bytes;
    if (pages > pages_.size()) {
        pages_.resize(std::max(pages, 2 * pages_.size()));
    }
    size_ = size;
}

}  // namespace millrace::storage
