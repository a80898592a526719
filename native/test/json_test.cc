#include "base/json.h"

#include <doctest/doctest.h>

#include <string>

using netmode::json::Kind;
using netmode::json::Parse;

TEST_SUITE("json") {
  TEST_CASE("values of every kind, with blanks between") {
    const auto document = Parse(" {\"a\" : [1, -2.5e3, \"x\", true, false, null, {}, []],\n\"b\":{\"c\":\"d\"}} ");
    REQUIRE(document);
    const auto *value = &document->Root();
    const auto *list = value->Find("a");
    REQUIRE(list != nullptr);
    REQUIRE(list->items.size() == 8);
    CHECK(list->items[0].number == 1);
    CHECK(list->items[1].number == -2500);
    CHECK(list->items[2].text == "x");
    CHECK(list->items[3].flag);
    CHECK_FALSE(list->items[4].flag);
    CHECK(list->items[5].kind == Kind::kNull);
    CHECK(list->items[6].kind == Kind::kObject);
    CHECK(list->items[7].kind == Kind::kArray);
    CHECK(value->Find("b")->Find("c")->text == "d");
    CHECK(value->Find("c") == nullptr);
    CHECK(list->Find("c") == nullptr);
  }

  TEST_CASE("escapes, as JSON.stringify writes them") {
    CHECK(Parse(R"("a\"\\\/\b\f\n\r\t\u0000\u00e9\u20ac\ud83d\ude00")")->Root().text == std::string("a\"\\/\b\f\n\r\t\0é€😀", 19));
    CHECK(Parse(R"("\ud83dx\ude00")")->Root().text == "\xef\xbf\xbdx\xef\xbf\xbd");
    CHECK(Parse(R"("\ud83d\u0041")")->Root().text ==
          "\xef\xbf\xbd"
          "A");
    CHECK(Parse("\"é\"")->Root().text == "é");
  }

  TEST_CASE("what is no JSON is refused") {
    for (const char *text :
         {"",     " ",     "{",   "[",   "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
          "[1,]", "[1 2]", "tru", "nul", "-",  "inf",  "nan",     "+1",        ".5",          "1 1",     "{}x",      "'a'"}) {
      CAPTURE(text);
      CHECK(Parse(text).error().code == EINVAL);
    }
    CHECK(Parse(std::string(100'000, '[')).error().code == EINVAL);
    CHECK(Parse(std::string(20, '[') + std::string(20, ']')));
  }
}
