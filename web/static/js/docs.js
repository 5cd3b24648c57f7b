// Draws the API's description; Swagger's bundle is loaded before this file.
const place = document.getElementById("swagger-ui");
SwaggerUIBundle({ url: place.dataset.url, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
