// A promise was broken; the text says which, and with which numbers.
#pragma once

#include <stdexcept>

namespace millrace::sim {

struct violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace millrace::sim
