// What millraced-faulty is told while it runs: see faulty_store.cpp for what there is. One that is made is for the brokers that are started from then on.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "tests/scratch_directory.hpp"

namespace millrace::process {

class faults {
public:
    faults() { ::setenv("MILLRACE_FAULTS", scratch_.path().c_str(), 1); }

    void once(const char* fault) { begin(fault, 1); }
    bool struck(const char* fault) const { return !std::filesystem::exists(scratch_.path() / fault); }

    void begin(const char* fault, int how_much) { std::ofstream(scratch_.path() / fault) << how_much; }
    void end(const char* fault) { std::filesystem::remove(scratch_.path() / fault); }

private:
    scratch_directory scratch_;
};

}  // namespace millrace::process
