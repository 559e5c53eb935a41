// Whom or what a budget is for is searched among the rows of the tenant and the scope that the form names.
"use strict";
{
  const $ = django.jQuery;

  $(function () {
    const subject = $(".budget-subject");
    const tenant = $("#id_tenant");
    const scope = $("#id_scope");

    subject.select2({
      theme: "admin-autocomplete",
      allowClear: true,
      ajax: {
        data: (params) => ({
          term: params.term || "",
          page: params.page || 1,
          tenant: tenant.val(),
          scope: scope.val(),
        }),
      },
    });

    const enable = () => {
      const searchable = tenant.val() && ["account", "campaign", "user"].includes(scope.val());
      subject.prop("disabled", !searchable);
    };

    // Another tenant, or another kind, has other rows.
    tenant.add(scope).on("change", () => {
      subject.val(null).trigger("change");
      enable();
    });
    enable();
  });
}
