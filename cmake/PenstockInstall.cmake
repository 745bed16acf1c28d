# Install rules and the CMake package config, so that find_package(penstock) works elsewhere.

include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/penstock)

# One export set per component, so that a project which uses one needs the packages of that one only.
get_property(libraries GLOBAL PROPERTY PENSTOCK_LIBRARIES)
set(penstock_components)
foreach(library IN LISTS libraries)
  get_target_property(component ${library} EXPORT_NAME)
  list(APPEND penstock_components ${component})
  install(TARGETS ${library} EXPORT penstock-${component}-targets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT penstock-${component}-targets NAMESPACE penstock:: DESTINATION ${package_dir})
endforeach()

foreach(folder catalog ingest cachefs reader)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${folder}/include)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/include/
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  endif()
endforeach()
if(PENSTOCK_BUILD_TOOLS)
  install(TARGETS penstock RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  set(PENSTOCK_SYSTEMD_UNIT_DIR lib/systemd/system CACHE PATH "Where systemd units are installed")
  configure_file(${PROJECT_SOURCE_DIR}/tools/systemd/penstock-watch@.service.in
                 ${PROJECT_BINARY_DIR}/penstock-watch@.service @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/penstock-watch@.service
          DESTINATION ${PENSTOCK_SYSTEMD_UNIT_DIR})
endif()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/penstockConfig.cmake.in
  ${PROJECT_BINARY_DIR}/penstockConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/penstockConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/penstockConfig.cmake
              ${PROJECT_BINARY_DIR}/penstockConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/PenstockDependencies.cmake
        DESTINATION ${package_dir})
