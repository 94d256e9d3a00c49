#define CATCH_CONFIG_MAIN
#define CATCH_CONFIG_CONSOLE_WIDTH 160  // its printing aborts when a test whose name has a ": " beyond this fails
#include <catch2/catch.hpp>
