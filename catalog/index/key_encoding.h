// Keys of the index, encoded so that RocksDB's bytewise order is the order of a range scan.
//
//   'd' 0 PATH                                   an Entry as JSON, without its facts
//   'x' 0 PATH                                   its facts as JSON
//   'u' 0 PATH                                   message of an unreadable dataset
//   'f' 0 FACT 0 UNITS 0 NUMBER(8 bytes) PATH    empty: one numeric fact of a dataset
//
// Neither paths nor fact names can contain a zero byte. Pure functions.

#ifndef PENSTOCK_CATALOG_INDEX_KEY_ENCODING_H_
#define PENSTOCK_CATALOG_INDEX_KEY_ENCODING_H_

#include <string>
#include <string_view>

namespace penstock::catalog {

std::string EntryKey(std::string_view path);
std::string FactsKey(std::string_view path);
std::string UnreadableKey(std::string_view path);
// Precondition: `key` was made by one of the three functions above.
std::string PathOfKey(std::string_view key);

// Eight bytes whose bytewise order is the numeric order; -0.0 and 0.0 are the same.
// Precondition: not NaN.
std::string EncodeNumber(double number);

// All facts of this name and unit; FactKey adds number and path.
std::string FactPrefix(std::string_view fact_path, std::string_view units);
std::string FactKey(std::string_view fact_path, std::string_view units, double number,
                    std::string_view path);
// Precondition: `key` begins with `prefix`, which FactPrefix made.
std::string PathOfFactKey(std::string_view key, std::string_view prefix);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_KEY_ENCODING_H_
