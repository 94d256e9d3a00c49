// The vocabulary of refusals: error.hpp against error.cpp.
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include <catch2/catch.hpp>

#include "millrace/error.hpp"
#include "millrace/message.hpp"

namespace millrace {
namespace {

// name → number, as the header spells them
std::multimap<std::string, int> declared_codes() {
    std::ifstream header(MILLRACE_TEST_DATA "/../../include/millrace/error.hpp");
    REQUIRE(header);
    std::multimap<std::string, int> codes;
    const std::regex declaration(R"(^\s+(\w+) = (\d+),.*)");
    std::string line;
    std::smatch found;
    while (std::getline(header, line))
        if (std::regex_match(line, found, declaration)) codes.emplace(found[1], std::stoi(found[2]));
    return codes;
}

}  // namespace

TEST_CASE("every errc has a name, a sentence and a number of its own") {
    const auto codes = declared_codes();
    REQUIRE(codes.size() > 30);
    std::set<std::string> names, sentences;
    std::set<int> numbers;
    for (const auto& [name, number] : codes) {
        INFO(name);
        CHECK(name_of(static_cast<errc>(number)) == name);
        const auto sentence = make_error_code(static_cast<errc>(number)).message();
        CHECK(sentence.find("unknown error") == std::string::npos);
        CHECK(sentence.size() > 5);
        names.insert(name);
        sentences.insert(sentence);
        numbers.insert(number);
    }
    CHECK(names.size() == codes.size());
    CHECK(sentences.size() == codes.size());
    CHECK(numbers.size() == codes.size());
}

TEST_CASE("error.cpp knows no code that error.hpp does not declare") {
    std::size_t known = 0;
    for (int number = 0; number <= UINT16_MAX; ++number) known += name_of(static_cast<errc>(number)) != std::string("unknown");
    CHECK(known == declared_codes().size());
}

TEST_CASE("an error prints its name and its words, or its sentence when it has none") {
    CHECK(to_string(error{errc::no_such_topic, "there is no topic 'photos'"}) == "no_such_topic: there is no topic 'photos'");
    CHECK(to_string(error{errc::no_such_topic, ""}) == "no_such_topic: there is no such topic");
    CHECK(to_string(error{static_cast<errc>(9999), ""}) == "unknown: unknown error 9999");
}

TEST_CASE("every durability has a name") {
    CHECK(name_of(durability::memory) == std::string("memory"));
    CHECK(name_of(durability::buffered) == std::string("buffered"));
    CHECK(name_of(durability::disk) == std::string("disk"));
    CHECK(name_of(durability::replicated) == std::string("replicated"));
    CHECK(name_of(static_cast<durability>(9)) == std::string("unknown"));
}

}  // namespace millrace
