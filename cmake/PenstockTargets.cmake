# penstock_add_library(NAME SOURCES ... PUBLIC ... PRIVATE ...): one component as a static library
# `penstock_NAME`, alias and export name penstock::NAME, public headers in ./include.

if(PENSTOCK_SANITIZE)
  add_compile_options(-fsanitize=${PENSTOCK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PENSTOCK_SANITIZE})
endif()

function(penstock_set_warnings target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # g++ 12 reports impossible overlaps inside std::string's operator+ (GCC bug 105651).
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
  endif()
  if(PENSTOCK_DEVELOPER_MODE)
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-Werror> $<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings>)
  endif()
endfunction()

function(penstock_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;PUBLIC;PRIVATE")
  add_library(penstock_${name} STATIC ${arg_SOURCES})
  add_library(penstock::${name} ALIAS penstock_${name})
  set_target_properties(penstock_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(penstock_${name} PUBLIC cxx_std_20)
  target_include_directories(penstock_${name}
    PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(penstock_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  penstock_set_warnings(penstock_${name})
  set_property(GLOBAL APPEND PROPERTY PENSTOCK_LIBRARIES penstock_${name})
endfunction()
