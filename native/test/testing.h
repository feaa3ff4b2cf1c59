// A small test harness: tests register themselves, expectations print where they fail.
//
//   TEST(ExtentMapFindsLastPage) {
//     EXPECT_EQ(map.Find(7), 3);
//     ASSERT_TRUE(map.valid());  // leaves the test when false
//   }
//
// main.cc runs them one after the other, each with a deadline. Expectations may be used on any
// thread.
#ifndef THAW_NATIVE_TEST_TESTING_H_
#define THAW_NATIVE_TEST_TESTING_H_

#include <atomic>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace thaw::testing {

struct Test {
  const char* name;
  void (*run)();
};

std::vector<Test>& Tests();

struct RegisterTest {
  RegisterTest(const char* name, void (*run)()) { Tests().push_back({name, run}); }
};

// Counts and prints a failed expectation.
void Fail(const char* file, int line, const std::string& message);

template <typename T>
std::string Print(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else if constexpr (sizeof(T) == 1 && std::is_integral_v<T>) {
    out << static_cast<int>(value);
  } else {
    out << value;
  }
  return out.str();
}

template <typename A, typename B>
bool CheckEq(const char* file, int line, const char* text, const A& found, const B& expected) {
  if (found == expected) return true;
  Fail(file, line, std::string(text) + ": expected " + Print(expected) + ", found " + Print(found));
  return false;
}

inline bool CheckTrue(const char* file, int line, const char* text, bool value) {
  if (!value) Fail(file, line, std::string(text) + ": expected true");
  return value;
}

}  // namespace thaw::testing

#define TEST(name)                                                               \
  static void Test##name();                                                      \
  static const ::thaw::testing::RegisterTest register_##name(#name, Test##name); \
  static void Test##name()

#define EXPECT_EQ(found, expected) \
  (void)::thaw::testing::CheckEq(__FILE__, __LINE__, #found, found, expected)
#define EXPECT_TRUE(value) (void)::thaw::testing::CheckTrue(__FILE__, __LINE__, #value, value)
#define EXPECT_FALSE(value) EXPECT_TRUE(!(value))
#define ASSERT_EQ(found, expected) \
  if (!::thaw::testing::CheckEq(__FILE__, __LINE__, #found, found, expected)) return
#define ASSERT_TRUE(value) \
  if (!::thaw::testing::CheckTrue(__FILE__, __LINE__, #value, value)) return

#endif  // THAW_NATIVE_TEST_TESTING_H_
