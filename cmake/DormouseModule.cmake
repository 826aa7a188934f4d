# dormouse_module(<name>
#   SOURCES      src/a.cpp ...
#   HEADERS      include/dormouse/<name>/a.hpp ...
#   PUBLIC_LINK  <target> ...
#   PRIVATE_LINK <target> ...)
#
# One module: the static library dormouse_<name>, known to its users as dormouse::<name> both in this build
# and after an install. Paths are relative to the module's folder. Headers under include/ are installed;
# src/ is visible to the module itself and never installed. Third parties go to PRIVATE_LINK unless a
# public header includes them.
function(dormouse_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;PUBLIC_LINK;PRIVATE_LINK")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "dormouse_module(${name}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(target "dormouse_${name}")

  add_library(${target} STATIC ${arg_SOURCES})
  add_library(dormouse::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME "${name}")
  target_sources(${target} PUBLIC
    FILE_SET HEADERS
    BASE_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/include"
    FILES ${arg_HEADERS})
  target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PUBLIC ${arg_PUBLIC_LINK} PRIVATE ${arg_PRIVATE_LINK})

  install(TARGETS ${target} EXPORT dormouseTargets FILE_SET HEADERS)
endfunction()
