// The small wrong changes that tests/mutants/mutants.py writes into a copy of the sources, all of them in one build: MILLRACE_MUTANT names the one that is
// made in this process. With MILLRACE_MUTANTS_SEEN=FILE each place marks its byte of the file when it is run, so that nothing is tested with mutants that it
// never reaches.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wparentheses"  // a == b == c is what is written on purpose here
#pragma GCC diagnostic ignored "-Wsign-compare"

namespace mutants {

inline constexpr int places_max = 1 << 14;

inline int chosen() {
    static const int number = [] {
        const char* name = ::getenv("MILLRACE_MUTANT");
        return name ? ::atoi(name) : 0;
    }();
    return number;
}

/// Shared with the file, so that a process that is killed has told as well.
inline volatile unsigned char* seen() {
    static volatile unsigned char* const marks = [] {
        static volatile unsigned char unheard[places_max];
        const char* name = ::getenv("MILLRACE_MUTANTS_SEEN");
        const int file = name ? ::open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
        if (file < 0 || ::ftruncate(file, places_max) != 0) return &unheard[0];
        void* const mapped = ::mmap(nullptr, places_max, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        ::close(file);
        return mapped == MAP_FAILED ? &unheard[0] : static_cast<volatile unsigned char*>(mapped);
    }();
    return marks;
}

inline bool on(int number) {
    seen()[number] = 1;
    return chosen() == number;
}

/// `a < b` is written `a < mutants::less{n} > b`, which has the same precedence, and so with the others.
template <class Operator, class Left>
struct pending {
    const Left& left;
    int number;
};

#define MILLRACE_MUTANT_OPERATOR(name, right, wrong, closing)                                  \
    struct name {                                                                             \
        int number;                                                                           \
    };                                                                                        \
    template <class Left>                                                                     \
    pending<name, Left> operator right(const Left& left, name place) {                        \
        return {left, place.number};                                                          \
    }                                                                                         \
    template <class Left, class Right>                                                        \
    auto operator closing(const pending<name, Left>& p, const Right& b)->decltype(p.left right b) { \
        return on(p.number) ? p.left wrong b : p.left right b;                                \
    }

MILLRACE_MUTANT_OPERATOR(less, <, <=, >)
MILLRACE_MUTANT_OPERATOR(less_equal, <=, <, >=)
MILLRACE_MUTANT_OPERATOR(greater, >, >=, <)
MILLRACE_MUTANT_OPERATOR(greater_equal, >=, >, <=)
MILLRACE_MUTANT_OPERATOR(equal, ==, !=, ==)
MILLRACE_MUTANT_OPERATOR(unequal, !=, ==, !=)
MILLRACE_MUTANT_OPERATOR(plus, +, -, +)
MILLRACE_MUTANT_OPERATOR(minus, -, +, -)
#undef MILLRACE_MUTANT_OPERATOR

}  // namespace mutants
