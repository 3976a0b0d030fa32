"""What a fitted policy forbids and reviews in any workspace, as data.

Invariants:
- Globs are as ``governance/matching.py`` reads them: without ``/`` a file name at any depth, with a trailing ``/``
  everything below a directory.
- A name stands here because of what it can do when somebody builds, installs, tests or deploys the project. What
  acts without anybody deciding to run it is escalated under every policy (``governance/governed.py``) and not
  repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """A named kind of path that is reviewed, its risk, and why."""

    name: str
    risk: str
    about: str
    globs: tuple[str, ...]
    except_globs: tuple[str, ...] = ()
    except_version_bumps: bool = False


FORBIDDEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Secrets and keys: they do not belong in a change.",
        (
            ".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "!.env.dist", ".netrc", ".pgpass",
            ".git-credentials", ".pypirc", ".htpasswd", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore",
            "*.kdbx", "*.ppk", "id_{rsa,dsa,ecdsa,ed25519}", ".ssh/", ".gnupg/", ".aws/", ".azure/", ".kube/",
            ".gcloud/", "**/.docker/config.json", ".dockercfg", ".vault-token", "**/.cargo/credentials{,.toml}",
            "*.tfstate{,.backup}",
        ),
    ),
    (
        "Installed and generated trees: tools write those, changes do not.",
        (
            "node_modules/", ".venv/", "__pycache__/", "*.pyc", "*.pyo", ".tox/", ".nox/", ".mypy_cache/",
            ".pytest_cache/", ".eggs/", "*.egg-info/",
        ),
    ),
    ("Data of other version control, with hooks of their own.", ("{.hg,.svn,.bzr,CVS,.jj,.sl}/",)),
    ("Code that an interpreter runs unasked.", ("*.pth", "sitecustomize.py", "usercustomize.py")),
)  # fmt: skip

CATEGORIES: tuple[Category, ...] = (
    Category(
        "dependencies",
        "MEDIUM",
        "What gets installed, and from where.",
        (
            "*requirements*.{txt,in}", "requirements/**", "constraints*.txt", "*.lock", "pylock*.toml",
            "uv.toml", "environment.{yml,yaml}", "package.json", "package-lock.json", "npm-shrinkwrap.json",
            "pnpm-lock.yaml", "pnpm-workspace.yaml", "bun.lockb", ".npmrc", ".yarnrc*", "go.{mod,sum,work}",
            "go.work.sum", "Cargo.toml", "Gemfile", "*.gemspec", "composer.json", "pom.xml",
            "*.gradle{,.kts}", "gradle/*.versions.toml", "*.{cs,fs,vb}proj", "packages.config", "paket.dependencies",
            "global.json", "mix.exs", "rebar.config", "Package.swift", "Package.resolved", "vendor.txt", "deps.edn",
            "project.clj", "*.sbt", "project/build.properties",
            "{Pipfile,gems,Podfile,Brewfile,Cartfile}{,.rb,.locked}",
            "bun.lock", "deno.json{,c}", "jsr.json", "import_map.json", "{pixi,poetry,hatch,pdm}.toml", "buildout.cfg",
            "conanfile.{py,txt}", "vcpkg.json", "rust-toolchain{,.toml}", ".tool-versions", ".prototools", "auth.json",
            "{vendor,_vendor,third_party,.yarn}/", "patches/*.patch",
        ),
        ("**/{testdata,test_data,fixtures,__fixtures__}/**", "**/{test,tests}/data/**"),
        except_version_bumps=True,
    ),
    Category(
        "build",
        "MEDIUM",
        "Runs on the machine of whoever builds, installs, tests or deploys the project.",
        (
            "pyproject.toml", "setup.{py,cfg}", "tox.{ini,toml}", "noxfile.py", "{,.}pytest.{ini,toml}",
            "{hatch,pdm}_build.py", "/{tasks,build,_build,_custom_build}.py", "{dodo,fabfile,pavement}.py",
            ".coveragerc", "{,.}codecov.{yml,yaml}", "{GNUmakefile,BSDmakefile}", "[Mm]akefile{,.*}", "*.{mk,m4}",
            "{,.}justfile", "{T,t}askfile.{yml,yaml}", "CMakeLists.txt", "*.cmake", "CMakePresets.json",
            "configure{,.ac,.in}", "autogen.sh", "meson{.build,_options.txt,.options}", "build.{rs,xml,zig,sc,mill}",
            "{SConstruct,SConscript,Rakefile,Earthfile,Tiltfile,Snakefile,wscript}", "*.rake", "extconf.rb",
            "{Capfile,Guardfile,Dangerfile,Fastfile,Appraisals,config.ru}", "magefile.go", "magefiles/", "buildSrc/",
            "{gradlew,mvnw}{,.bat,.cmd}", "gradle.properties", ".{sbtopts,jvmopts}", "*.{props,targets,proj}",
            "{BUILD,WORKSPACE,MODULE}{,.bazel}", "*.{bzl,bazelrc}", ".{bazelrc,buckconfig}", "BUCK", "pants.toml",
            "{Dockerfile,Containerfile}*", "*.{dockerfile,containerfile}", "docker-bake.{hcl,json}",
            "{docker-,}compose*.{yml,yaml}", "Procfile{,.*}", "Vagrantfile", "*.{service,timer,socket}",
            "{,*.}crontab", "**/cron.d/**", "*.nix", "{,.}devbox.json", "devenv.yaml", ".flox/", "**/hermit.hcl",
            "{jest,vitest,babel,webpack,vite,rollup,karma,playwright,cypress,eslint}.config.*",
            "{prettier,stylelint,postcss,tailwind,next,nuxt,svelte,astro,metro,tsup,rspack,ava}.config.*",
            "{vitest,jest}.{workspace,setup}.*", "{.eslintrc,.babelrc,.mocharc,.prettierrc,.stylelintrc,.nycrc,.c8rc}*",
            "{.swcrc,.postcssrc,.parcelrc,.taprc}*", "{Gruntfile,gulpfile,Jakefile}*",
            "{nodemon,nx,turbo,lerna,rush,angular,biome}.json{,c}", "tsconfig*.json", ".pnp.*", "phpunit.xml*",
            ".{rspec,simplecov,htaccess}", "{,.}rubocop.{yml,yaml}", "{phpstan,psalm,rector}*.{neon,neon.dist,xml,php}",
            "{.flake8,.bandit,.snyk,.trivyignore,.gitleaksignore,.semgrepignore,.secrets.baseline}",
            "{,.}{ruff,gitleaks,golangci,golangci-lint,osv-scanner,deny,clippy,semgrep}.{toml,yml,yaml,json}",
            "{,.}{mypy.ini,pylintrc}", "sonar-project.properties", "install.{sh,ps1}", "*.{tf,tfvars}",
            "{netlify,fly,wrangler,railway,nixpacks}.toml", "{vercel,now,wrangler,railway,firebase,cdk}.json{,c}",
            "{render,amplify,heroku,serverless,skaffold,appspec,Pulumi}.{yml,yaml}",
            "{.goreleaser,.releaserc,.release-it}*",
            "release.config.*", "{.ebextensions,.platform}/", ".github/**",
            "**/{ci,script,scripts}/{test,tests,check,lint,ci,coverage,build,release,publish}{,.sh}",
            "{test,tests,run-tests,run_tests,runtests}.sh",
            "debian/{rules,*.{pre,post}{inst,rm}}", "debian/{pre,post}{inst,rm}", "{PKGBUILD,APKBUILD}",
            "snapcraft.yaml",
        ),
        (
            # those of workflows and actions are escalated under every policy, which knows what is upkeep
            ".github/{workflows,actions,ISSUE_TEMPLATE,DISCUSSION_TEMPLATE,PULL_REQUEST_TEMPLATE}/**",
            # Dependabot only proposes
            ".github/{*.md,FUNDING.yml,dependabot.yml,dependabot.yaml}",
        ),
        except_version_bumps=True,
    ),
    Category(
        "security",
        "HIGH",
        "Who may do what.",
        (
            "**/secrets/**", "**/policies/*.rego", "authorized_keys", "known_hosts", "sudoers",
            "**/sudoers.d/**",
        ),
    ),
)  # fmt: skip
